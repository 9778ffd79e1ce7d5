"""`SentenceTransformerTrainer` as it comes, on a dataset version: what a user would write without ranklift."""

import time
from pathlib import Path
from typing import Any, NamedTuple

from components.dataset.manifest import TRAIN, DatasetManifest
from components.model.base import base_model_directory, open_model


class Trained(NamedTuple):
    """What a training of the library's own gave."""

    model: Any
    steps: int
    triplets: int  #: that were trained on, each as often as it was
    seconds: float  #: of the steps alone


def train_as_it_comes(
    dataset: Path, scratch: Path, *, bf16: bool = False, callbacks: list[Any] | None = None, **arguments: Any
) -> Trained:
    """All triplets, MultipleNegativesRankingLoss, every argument at its default but those that are given."""
    import torch
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers import PrinterCallback

    manifest = DatasetManifest.of(dataset)
    model = open_model(base_model_directory(manifest.base_model))
    model.max_seq_length = manifest.max_seq_length
    rows = Dataset.from_parquet(str(dataset / TRAIN), cache_dir=str(scratch / "cache"))
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(scratch / "checkpoints"),
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            bf16=bf16,
            use_cpu=not torch.cuda.is_available(),
            **arguments,
        ),
        train_dataset=rows.select_columns(["query", "positive", "negative"]),
        loss=MultipleNegativesRankingLoss(model),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    begun = time.monotonic()
    trainer.train()
    seconds = time.monotonic() - begun
    steps = int(trainer.state.global_step)
    return Trained(model, steps, steps * trainer.args.train_batch_size, seconds)
