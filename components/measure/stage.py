"""`measure`: one base model on a dataset version, untouched and after a short training, as it would serve."""

import platform
import sys
import time
from pathlib import Path
from typing import NamedTuple

from components.dataset.manifest import TRAIN, DatasetManifest
from components.evaluate.evaluate import evaluate
from components.evaluate.progress import ProgressLog
from components.export.options import ExportOptions
from components.export.stage import export_for_dataset
from components.machine.parquet_file import open_parquet
from components.measure.dev_evaluation import write_dev_evaluation
from components.measure.options import MeasureOptions
from components.model.base import base_model_directory
from components.model.served import EncoderConfig
from components.prepare.options import PrepareOptions
from components.prepare.profile.lengths import (
    SAMPLE,
    check_length,
    chosen_length,
    length_limit,
    percentiles,
    token_lengths,
)
from components.records.measurement import Measured
from components.records.scores import HEADLINE, ScoreFile
from components.train.little_data import count_examples
from components.train.report import TrainingReport
from components.train.stage import train

_CPUINFO = Path("/proc/cpuinfo")


class _Candidate(NamedTuple):
    """What is measured, with everything looked up."""

    options: MeasureOptions
    dataset: Path
    base: Path
    length: int
    dev: Path  #: the evaluation set
    scratch: Path


def measure(dataset: Path, options: MeasureOptions, scratch: Path) -> Measured:
    """Score a base model on the dev queries, train it shortly, and score it again.

    Both times the exported model is scored, by the code and the encoder that judge candidate and champion; speed and
    size are those of what would serve.

    Args:
        dataset: a dataset version.
        options: which base model, and how to train it.
        scratch: an empty folder for models in between.

    Raises:
        DataError: when the dataset is none, or has no dev query.
        ModelError: when the base model cannot be found, trained, exported or run.
    """
    started = time.monotonic()
    base = base_model_directory(options.base_model)
    length = reading_length(dataset, base)
    (scratch / "dev").mkdir()
    write_dev_evaluation(dataset, scratch / "dev")
    candidate = _Candidate(options, dataset, base, length, scratch / "dev", scratch)
    untouched = _scores(candidate, base, "untouched", bm25=True)
    _tell(candidate, f"untouched, NDCG@10 {untouched.headline:.4f}, {untouched.texts_per_second:,.0f} texts/s")
    report = _train(candidate)
    trained = _scores(candidate, scratch / "model", "trained", bm25=False)
    seconds = time.monotonic() - started
    _tell(candidate, f"trained on {report.examples:,} examples, NDCG@10 {trained.headline:.4f}; {seconds:.0f} s in all")
    return _measured(candidate, untouched, trained, report)


def reading_length(dataset: Path, base: Path) -> int:
    """Return how many tokens `prepare` would have a base model read of this dataset; its own tokenizer counts them.

    Raises:
        ModelError: when the dataset has a length of the user's own, and the model fewer positions.
    """
    settings = DatasetManifest.of(dataset).settings
    asked = int(settings.get("max_seq_length") or 0)
    check_length(base, asked)
    if asked:
        return asked
    cap = int(settings.get("max_seq_length_cap") or PrepareOptions().max_seq_length_cap)
    columns = ["query", "positive", "negative"]
    with open_parquet(dataset / TRAIN) as file:
        rows = next(file.iter_batches(SAMPLE, columns=columns))
    lengths = token_lengths(base, {name: rows.column(name).to_pylist() for name in columns})
    return chosen_length({name: percentiles(column) for name, column in lengths.items()}, length_limit(base, cap))


def _train(candidate: _Candidate) -> TrainingReport:
    options = candidate.options
    manifest = DatasetManifest.of(candidate.dataset)
    count = count_examples(candidate.dataset, options.training().resolved(), manifest.counts["train"])
    epochs = options.examples / count if count > options.examples else 0.0
    return train(candidate.dataset, candidate.scratch / "model", options.training(epochs, candidate.length))


def _scores(candidate: _Candidate, model: Path, name: str, *, bm25: bool) -> ScoreFile:
    served = candidate.scratch / f"{name}-served"
    export_for_dataset(
        model,
        candidate.dataset,
        served,
        ExportOptions(precision=candidate.options.precision, max_seq_length=candidate.length),
        base_model=candidate.options.base_model,
    )
    # No cache of encodings: the speed is to be that of this machine, now.
    return evaluate(served, candidate.dev, name=name, progress=ProgressLog(), bm25=bm25)


def _measured(candidate: _Candidate, untouched: ScoreFile, trained: ScoreFile, report: TrainingReport) -> Measured:
    config = EncoderConfig.of(candidate.scratch / "trained-served")
    scores = (untouched, trained)
    return Measured(
        dataset_digest=trained.dataset_digest,
        zero_shot=untouched.per_query[HEADLINE],
        trained=trained.per_query[HEADLINE],
        bm25=untouched.baselines.get("bm25", {}).get(HEADLINE),
        corpus_size=trained.corpus_size,
        # The better of two: whatever else runs on the machine only ever makes a model slower.
        texts_per_second=max(score.texts_per_second or 0.0 for score in scores),
        latency_ms=min(score.latency_ms or 0.0 for score in scores),
        model_bytes=trained.model_bytes or 0,
        dimension=config.dimension,
        max_seq_length=config.max_seq_length,
        precision=config.precision,
        processor=processor_name(),
        training={
            "recipe": report.recipe,
            "examples": report.examples,
            "steps": report.steps,
            "seconds": report.seconds,
        },
        notes=sorted({*untouched.notes, *trained.notes}),
    )


def processor_name(cpuinfo: Path = _CPUINFO) -> str:
    """Return what the processor calls itself, or the machine's architecture where the system does not tell."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.lower().startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _tell(candidate: _Candidate, line: str) -> None:
    print(f"measure: {candidate.options.base_model}: {line}", file=sys.stderr, flush=True)
