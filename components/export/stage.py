"""Export with the texts and the length of a dataset version."""

from itertools import chain
from pathlib import Path
from typing import get_args

from components.dataset import MANIFEST, TRAIN, DatasetManifest
from components.errors import ModelError
from components.export.export import PrecisionChoice, export_model
from components.served_model import EncoderConfig

_TEXTS = 300


def export_for_dataset(
    model: Path,
    dataset: Path,
    output: Path,
    *,
    precision: str = "auto",
    base_model: str = "",
    max_seq_length: int = 0,
) -> EncoderConfig:
    """Export a model at the dataset's sequence length, checked (and calibrated) on the dataset's training texts.

    Args:
        model: a folder that sentence-transformers opens.
        dataset: a dataset version; or a BEIR folder, whose passages are the texts and which says nothing of the length.
        output: the folder to make.
        precision: "auto", "fp32", "bf16" or "int8".
        base_model: the name to record.
        max_seq_length: tokens; when 0 the dataset's, or the model's own where there is only a BEIR folder.

    Raises:
        DataError: when the dataset is none.
        ModelError: when the model cannot be exported, or its graph does not reproduce it.
    """
    is_version = (dataset / MANIFEST).is_file()
    return export_model(
        model,
        output,
        texts=training_texts(dataset) if is_version else _passages(dataset),
        max_seq_length=max_seq_length or (DatasetManifest.of(dataset).max_seq_length if is_version else 0),
        precision=checked_precision(precision),
        base_model=base_model,
    )


def checked_precision(precision: str) -> PrecisionChoice:
    """The precision by its name.

    Raises:
        ModelError: when there is no such precision.
    """
    choices: tuple[PrecisionChoice, ...] = get_args(PrecisionChoice)
    for choice in choices:
        if choice == precision:
            return choice
    raise ModelError(f"There is no precision {precision!r}; use one of {', '.join(choices)}.")


def training_texts(dataset: Path) -> list[str]:
    """Queries and passages of the first training triplets, alternating; evaluation texts are never read here."""
    import pyarrow.parquet as pq

    batches = pq.ParquetFile(dataset / TRAIN).iter_batches(batch_size=_TEXTS // 2, columns=["query", "positive"])
    rows = next(batches).to_pylist()
    return list(chain.from_iterable((row["query"], row["positive"]) for row in rows))


def _passages(folder: Path) -> list[str]:
    from components.evaluation_set import open_evaluation_set

    passages = next(open_evaluation_set(folder).passages(_TEXTS), [])
    return [text for _, text in passages]
