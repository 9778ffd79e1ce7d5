"""Cross-validation: a model for each fold of the judged queries, and the final model from all of them.

No query is left to choose checkpoints by: every training takes the steps that its recipe says, and ends with its last
weights, or their mean with the base model's where the recipe averages. The models of the folds are so made exactly as
the final one, from a little less data, and what they score is what the final model can be expected to score, or less.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.dataset.manifest import DEV, FOLDS, MANIFEST, PAIRS, TRAIN, DatasetManifest
from components.errors import DataError
from components.machine.scratch_folder import scratch_folder
from components.model.folds import FoldModels
from components.stage import tell
from components.train.inputs import check, look_up
from components.train.options import TrainOptions
from components.train.report import REPORT, TrainingReport

#: Triplets below which pairs of the collection's own texts are added to the labelled ones: with 452 labelled pairs of
#: Cranfield 400 titles changed nothing (+0.018 NDCG@10 against +0.017) and took twice the time.
ENOUGH = 200
#: Trains on a dataset version, writes the model into a folder, and keeps a teacher's scores in another.
TrainOne = Callable[[Path, Path, Path], TrainingReport]


def train_with_folds(dataset: Path, output: Path, options: TrainOptions, train_one: TrainOne) -> TrainingReport:
    """Train a model for each fold, then the final one on everything; see `FoldModels` for what is written where.

    Returns:
        The report of the final model.

    Raises:
        DataError: when the dataset has too little data for one of its folds.
        RankliftError: as a training does, before the first one where it can be known then.
    """
    manifest = DatasetManifest.of(dataset)
    check(look_up(dataset, options), output)
    record = FoldModels(evaluation_digest=manifest.evaluation_digest, held_out=held_out_queries(dataset))
    output.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(output.parent, ".folds-") as scratch:
        for fold, folder in enumerate(record.folders(scratch)):
            tell("train", f"fold {fold + 1} of {manifest.folds}: {len(record.held_out[fold])} queries are held out")
            train_one(write_part(dataset, scratch / f"dataset-{fold}", without=fold), folder, scratch / "scores")
        tell("train", "the final model, on all queries")
        final = train_one(write_part(dataset, scratch / "dataset"), output, scratch / "scores")
        report = final.model_copy(update={"folds": manifest.folds})
        for made, kept in zip(record.folders(scratch), record.folders(output), strict=True):
            kept.parent.mkdir(exist_ok=True)
            shutil.move(made, kept)
    record.write_beside(output)
    report.write(output / REPORT)
    return report


def held_out_queries(dataset: Path) -> list[list[str]]:
    """Return the judged queries by fold, sorted; those that ask the same under another id are among them."""
    rows = sorted(_fold_rows(dataset))
    return [[query for query, place in rows if place == fold] for fold in range(DatasetManifest.of(dataset).folds)]


def _fold_rows(dataset: Path) -> Iterator[tuple[str, int]]:
    table = pq.read_table(dataset / FOLDS, columns=["query_id", "fold"])
    yield from zip(*(column.to_pylist() for column in table.columns), strict=True)


def write_part(dataset: Path, folder: Path, *, without: int | None = None) -> Path:
    """Write what is trained on, as a dataset version without an evaluation set; returns the folder.

    Where the labelled triplets are fewer than `ENOUGH`, pairs of the collection's own texts fill them up.

    Args:
        dataset: a dataset version with folds.
        folder: is made.
        without: the fold that is left out; None for none.

    Raises:
        DataError: when no triplet is left.
    """
    unseen = pa.array([query for query, place in _fold_rows(dataset) if place == without], pa.string())
    triplets = pq.read_table(dataset / TRAIN)
    kept = triplets.filter(pc.invert(pc.is_in(triplets["query_id"], unseen)))
    if not kept.num_rows:
        raise DataError(
            f"{dataset / TRAIN} has no triplet outside fold {without}; prepare with fewer folds, or bring more queries."
        )
    folder.mkdir()
    filled = pa.concat_tables([kept, _pairs(dataset, ENOUGH - kept.num_rows)])
    pq.write_table(filled, folder / TRAIN, compression="zstd")
    shutil.copyfile(dataset / DEV, folder / DEV)
    manifest = DatasetManifest.of(dataset)
    counts = {"train": filled.num_rows, "dev": manifest.counts["dev"]}
    manifest.model_copy(update={"counts": counts}).write(folder / MANIFEST)
    return folder


def _pairs(dataset: Path, most: int) -> pa.Table:
    """Return the first pairs of the collection's own texts, which `prepare` drew; empty where it has none."""
    if most <= 0 or not (dataset / PAIRS).is_file():
        return pq.read_schema(dataset / TRAIN).empty_table()
    return pq.read_table(dataset / PAIRS).slice(0, most).cast(pq.read_schema(dataset / TRAIN))
