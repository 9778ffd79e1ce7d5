"""Fine-tuning with `SentenceTransformerTrainer`: triplets in, the best checkpoint out."""

import math
import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from components.base_model import base_model_directory, open_model
from components.dataset import DEV, TRAIN, DatasetManifest
from components.digest import directory_files, tree_sha256
from components.document import Document
from components.errors import DataError, ModelError
from components.processor import has_bf16
from components.scratch_folder import scratch_folder
from components.settings import cache_directory

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer

REPORT = "training.json"
_EVALUATOR = "dev"
#: What `TripletEvaluator` calls the share of triplets whose positive is nearer to the query than the negative.
DEV_ACCURACY = f"{_EVALUATOR}_cosine_accuracy"


class TrainOptions(Document):
    """How to train; the defaults are the pipeline's."""

    base_model: str = ""  #: folder, hub id or ``package://…``; the dataset's own when empty
    epochs: float = Field(default=1.0, gt=0, le=100)
    batch_size: int = Field(default=32, ge=2)  #: triplets; every other positive and negative in it is a negative
    learning_rate: float = Field(default=5e-5, gt=0, le=1)
    warmup_ratio: float = Field(default=0.1, ge=0, le=1)  #: share of the steps in which the rate rises to its peak
    evaluations: int = Field(default=2, ge=1)  #: how often dev is measured and a checkpoint kept
    max_seq_length: int = Field(default=0, ge=0)  #: tokens; the dataset's when 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"  #: auto is bf16 where the processor computes in it
    seed: int = 42


class TrainingReport(Document):
    """``training.json``: what happened, step by step."""

    noun: ClassVar[str] = "training report"
    remedy: ClassVar[str] = "`ranklift train DATASET -o DIR` writes one"

    base_model: str
    triplets: int
    steps: int
    seconds: float  #: of this process; what it did before it was interrupted does not count
    triplets_per_second: float
    resumed_step: int = 0  #: where this process carried on from; 0 when it began at the start
    precision: str
    best_step: int  #: 0 when no checkpoint beat the untouched base model
    best_dev_accuracy: float
    history: list[dict[str, float]]  #: one entry per log line: step, epoch, loss or dev accuracy
    options: TrainOptions

    def headline(self) -> dict[str, float]:
        """The numbers that the KFP UI shows beside the stage."""
        losses = [entry["loss"] for entry in self.history if "loss" in entry]
        return {
            "triplets": float(self.triplets),
            "triplets_per_second": self.triplets_per_second,
            "dev_accuracy_before": self.history[0][f"eval_{DEV_ACCURACY}"],
            "dev_accuracy": self.best_dev_accuracy,
            **({"loss_first": losses[0], "loss_last": losses[-1]} if losses else {}),
        }


def train_model(dataset: Path, output: Path, options: TrainOptions) -> TrainingReport:
    """Fine-tune a base model on a dataset version and keep its best checkpoint by dev accuracy.

    The loss is MultipleNegativesRankingLoss (Henderson et al. 2017, arXiv:1705.00652): each query must find its own
    positive among all positives and negatives of the batch.

    A training that was killed carries on from its last checkpoint when the same is trained again, and ends with the
    very same weights. Checkpoints lie in ``RANKLIFT_CACHE`` where that is set, else beside the output; and in the
    object store as well where ``RANKLIFT_CHECKPOINTS`` says so, from which another machine carries on.

    Args:
        dataset: a dataset version; ``train.parquet`` and ``dev.parquet`` are read, the evaluation files never.
        output: the folder to make, which sentence-transformers opens; ``training.json`` lies in it.
        options: how to train.

    Raises:
        DataError: when there is too little data for the batch size, or no dev triplet.
        ModelError: when the base model cannot be had, or the output folder is in use.
        StoppedError: when SIGTERM or SIGINT asked to stop; a checkpoint was saved then.
    """
    from components.train.checkpoint_store import StoredTraining, checkpoint_place
    from components.train.checkpoint_uploads import kept_in
    from components.train.checkpoints import checkpoints_of, digest_of_inputs

    place = checkpoint_place()
    manifest = DatasetManifest.of(dataset)
    _check(manifest, dataset, output, options)
    base_model = options.base_model or manifest.base_model
    model = _open(base_model, options.max_seq_length or manifest.max_seq_length)
    output.parent.mkdir(parents=True, exist_ok=True)
    inputs = _inputs(manifest, base_model_directory(base_model), options)
    with (
        checkpoints_of(cache_directory("training") or output.parent, inputs) as checkpoints,
        kept_in(place and StoredTraining(place, digest_of_inputs(inputs)), checkpoints) as uploads,
        scratch_folder(output.parent, ".training-") as scratch,
    ):
        trainer = _trainer(model, dataset, options, manifest.counts["train"], checkpoints=checkpoints, scratch=scratch)
        trainer.add_callback(uploads)
        report = _run(trainer, base_model, manifest.counts["train"], options)
        saved = scratch / "model"
        model.save_pretrained(str(saved), create_model_card=False)
        report.write(saved / REPORT)
        if output.exists():
            output.rmdir()
        shutil.move(saved, output)
    return report


def _check(manifest: DatasetManifest, dataset: Path, output: Path, options: TrainOptions) -> None:
    if output.exists() and any(output.iterdir()):
        raise ModelError(f"{output} exists and is not empty; choose another output folder or remove it.")
    if manifest.counts["train"] < options.batch_size:
        raise DataError(
            f"{dataset / TRAIN} has {manifest.counts['train']} triplets, fewer than one batch of {options.batch_size}; "
            f"bring more data or set --batch-size to {max(2, manifest.counts['train'] // 4)}."
        )
    if not manifest.counts["dev"]:
        raise DataError(
            f"{dataset / DEV} is empty, and the best checkpoint is chosen on it; prepare with more queries."
        )


def _open(base_model: str, max_seq_length: int) -> "SentenceTransformer":
    model = open_model(base_model_directory(base_model))
    positions = getattr(model[0].config, "max_position_embeddings", None)
    if positions is not None and max_seq_length > positions:
        raise ModelError(
            f"max_seq_length {max_seq_length} is more than the {positions} positions of {base_model}; use at most that."
        )
    model.max_seq_length = max_seq_length
    return model


def _inputs(manifest: DatasetManifest, base_model: Path, options: TrainOptions) -> dict[str, str]:
    """All that the weights depend on."""
    libraries = ("torch", "transformers", "sentence-transformers", "accelerate")
    return {
        "dataset": manifest.digest,
        "max_seq_length": str(options.max_seq_length or manifest.max_seq_length),
        "base model": tree_sha256(directory_files(base_model)),
        "options": options.model_dump_json(exclude={"base_model", "max_seq_length"}),
        "bf16": str(_bf16(options.precision)),
        **{name: version(name) for name in libraries},
    }


def _trainer(
    model: "SentenceTransformer",
    dataset: Path,
    options: TrainOptions,
    triplets: int,
    *,
    checkpoints: Path,
    scratch: Path,
) -> "SentenceTransformerTrainer":
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer
    from sentence_transformers.sentence_transformer.evaluation import TripletEvaluator
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers import PrinterCallback

    from components.train.progress import ProgressLines

    cache = str(scratch / "cache")
    columns = ["query", "positive", "negative"]
    train = Dataset.from_parquet(str(dataset / TRAIN), cache_dir=cache).select_columns(columns)
    dev = Dataset.from_parquet(str(dataset / DEV), cache_dir=cache)
    evaluator = TripletEvaluator(
        anchors=dev["query"], positives=dev["positive"], negatives=dev["negative"], name=_EVALUATOR,
        batch_size=options.batch_size, show_progress_bar=False,
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(
        model=model,
        args=_arguments(model, checkpoints, options, math.ceil(triplets * options.epochs / options.batch_size)),
        train_dataset=train,
        loss=MultipleNegativesRankingLoss(model),
        evaluator=evaluator,
        callbacks=[ProgressLines(options.batch_size)],
    )
    trainer.remove_callback(PrinterCallback)  # says the same again, as dicts, on standard output
    return trainer


def _arguments(model: "SentenceTransformer", checkpoints: Path, options: TrainOptions, steps: int) -> Any:
    from sentence_transformers import SentenceTransformerTrainingArguments
    from sentence_transformers.base.training_args import BatchSamplers

    interval = max(1, steps // options.evaluations)
    return SentenceTransformerTrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        warmup_steps=options.warmup_ratio,
        bf16=_bf16(options.precision),
        # A query's own positive, met again as somebody else's negative in the batch, would be pushed away.
        batch_sampler=BatchSamplers.NO_DUPLICATES,
        prompts=_prompts(model),
        eval_strategy="steps",
        eval_steps=interval,
        save_strategy="steps",
        save_steps=interval,
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{DEV_ACCURACY}",
        greater_is_better=True,
        logging_steps=max(1, steps // 20),
        seed=options.seed,
        data_seed=options.seed,
        logging_nan_inf_filter=False,  # a loss that is not a number is an error to report, not to average away
        report_to="none",
        disable_tqdm=True,
    )


def _bf16(precision: str) -> bool:
    import torch

    if precision == "auto":
        return torch.cuda.is_bf16_supported() if torch.cuda.is_available() else has_bf16()
    return precision == "bf16"


def _prompts(model: "SentenceTransformer") -> dict[str, str] | None:
    """The prompts of the model by column, since training must see texts as serving will."""
    document = next((name for name in ("document", "passage", "corpus") if model.prompts.get(name)), "")
    prompts = {
        "query": model.prompts.get("query") or "",
        "positive": model.prompts.get(document) or "",
        "negative": model.prompts.get(document) or "",
    }
    return prompts if any(prompts.values()) else None


def _run(
    trainer: "SentenceTransformerTrainer", base_model: str, triplets: int, options: TrainOptions
) -> TrainingReport:
    from components.train.checkpoints import StopAndSave, newest_checkpoint

    before = float(trainer.evaluate()[f"eval_{DEV_ACCURACY}"])
    checkpoint = newest_checkpoint(Path(str(trainer.args.output_dir)))
    resumed = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    started = time.monotonic()
    with StopAndSave() as stop:
        trainer.add_callback(stop)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = time.monotonic() - started
    state = trainer.state
    share = (state.global_step - resumed) / max(1, state.global_step)
    _check_loss(state.log_history)
    return TrainingReport(
        base_model=base_model,
        triplets=triplets,
        steps=state.global_step,
        seconds=round(seconds, 3),
        resumed_step=resumed,
        triplets_per_second=round(triplets * options.epochs * share / seconds, 3),
        precision="bf16" if trainer.args.bf16 else "fp32",
        best_step=int(state.best_global_step or 0),
        best_dev_accuracy=float(state.best_metric if state.best_metric is not None else before),
        history=[{"step": 0.0, "epoch": 0.0, f"eval_{DEV_ACCURACY}": before}, *map(_numbers, state.log_history)],
        options=options,
    )


def _check_loss(history: list[dict[str, float]]) -> None:
    broken = next((entry for entry in history if not math.isfinite(entry.get("loss", 0.0))), None)
    if broken is not None:
        raise ModelError(
            f"The loss became {broken['loss']} at step {broken['step']:.0f}; lower --learning-rate (5e-5 is a good "
            "start) or train with `--precision fp32`."
        )


def _numbers(entry: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in entry.items() if isinstance(value, int | float)}
