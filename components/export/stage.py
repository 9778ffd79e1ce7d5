"""Export with the texts and the length of a dataset version."""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from components.dataset.manifest import MANIFEST, TRAIN, DatasetManifest
from components.errors import ModelError
from components.export.model import export_model
from components.export.options import ExportOptions
from components.export.sample_texts import SAMPLE_TEXTS
from components.model.folds import FoldModels
from components.model.served import EncoderConfig

_TEXTS = 300


def export_for_dataset(
    model: Path,
    dataset: Path | None,
    output: Path,
    options: ExportOptions | None = None,
    *,
    base_model: str = "",
    matryoshka: Sequence[int] = (),
) -> EncoderConfig:
    """Export a model at the dataset's sequence length, checked (and calibrated) on the dataset's training texts.

    The models of a cross-validation that lie beside it are exported in the same way: they judge it.

    Args:
        model: a folder that sentence-transformers opens.
        dataset: a dataset version; or a BEIR folder, whose passages are the texts and which says nothing of the length;
            or None, which takes texts that come with ranklift.
        output: the folder to make.
        options: see `ExportOptions`.
        base_model: the name to record.
        matryoshka: shorter lengths that the model was trained for, which serving may cut embeddings to.

    Raises:
        DataError: when the dataset is none.
        ModelError: when the model cannot be exported, or its graph does not reproduce it; also for int8 without data.
    """
    chosen = options or ExportOptions()
    if dataset is None and chosen.precision == "int8":
        raise ModelError("int8 is calibrated on your own texts; give a dataset version or a BEIR folder with --data.")
    manifest = DatasetManifest.of(dataset) if dataset is not None and (dataset / MANIFEST).is_file() else None
    export_one = partial(
        export_model,
        texts=_texts(dataset, is_version=manifest is not None),
        max_seq_length=chosen.max_seq_length or (manifest.max_seq_length if manifest else 0),
        precision=chosen.precision,
        base_model=base_model,
        matryoshka=matryoshka,
    )
    config = export_one(model, output)
    if (folds := FoldModels.find(model)) is not None:
        for trained, served in zip(folds.folders(model), folds.folders(output), strict=True):
            export_one(trained, served)
        folds.write_beside(output)
    return config


def _texts(dataset: Path | None, *, is_version: bool) -> Sequence[str]:
    if dataset is None:
        return SAMPLE_TEXTS
    return training_texts(dataset) if is_version else _passages(dataset)


def training_texts(dataset: Path) -> list[str]:
    """Return queries and passages of the first training triplets, alternating; never read evaluation texts."""
    from components.machine.parquet_file import open_parquet

    with open_parquet(dataset / TRAIN) as file:
        rows = next(file.iter_batches(_TEXTS // 2, columns=["query", "positive"])).to_pylist()
    return list(chain.from_iterable((row["query"], row["positive"]) for row in rows))


def _passages(folder: Path) -> list[str]:
    from components.dataset.evaluation_set import open_evaluation_set

    passages = next(open_evaluation_set(folder).passages(_TEXTS), [])
    return [text for _, text in passages]
