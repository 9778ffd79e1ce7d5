"""Cross-encoders: models that read a query and a passage together and score how well one answers the other."""

from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import ModelError
from components.model.base import Wanted, model_directory, opening
from components.model.base_kind import other_kind
from components.model.folder import SETTINGS, architecture_of, read_json, transformer_of

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

_EXAMPLE = "cross-encoder/ms-marco-MiniLM-L6-v2"
_TEACHER = Wanted(
    noun="teacher",
    examples=f"the folder of a cross-encoder, a hub id such as {_EXAMPLE!r}, or s3://bucket/folder",
    without_hub="name a folder or s3://bucket/folder",
)
_CLASSIFIER = "ForSequenceClassification"
_LABELS = 2  #: of a classifier whose configuration names none


def teacher_directory(name: str) -> Path:
    """Return the local folder of a cross-encoder that is to teach; the name is of any form that base models have.

    Raises:
        ModelError: when there is no such model, or it does not give one score for a query and a passage.
    """
    directory = model_directory(name, _TEACHER)
    found = _unsuitable(directory)
    if found is not None:
        raise ModelError(
            f"The teacher {directory} is {found}; a teacher is a cross-encoder that gives one score for a query and a "
            f"passage: use one, such as {_EXAMPLE}."
        )
    return directory


def _unsuitable(directory: Path) -> str | None:
    """Return what a folder is when it cannot teach; None when it can."""
    is_cross_encoder = read_json(directory / SETTINGS).get("model_type") == "CrossEncoder"
    if _CLASSIFIER not in architecture_of(directory):
        return None if is_cross_encoder else other_kind(directory) or "an encoder, which embeds each text by itself"
    labels = read_json(transformer_of(directory) / "config.json").get("id2label")
    count = len(labels) if isinstance(labels, dict) else _LABELS
    return None if count == 1 else f"a classifier of {count} labels"


def open_cross_encoder(directory: Path, device: str) -> "CrossEncoder":
    """Open a cross-encoder: no network, no code from the folder, no progress bars.

    Args:
        directory: its folder.
        device: as torch names it.

    Raises:
        ModelError: when it cannot be opened.
    """
    from sentence_transformers import CrossEncoder

    with opening(f"The teacher {directory}", "a cross-encoder"):
        model: CrossEncoder = CrossEncoder(str(directory), device=device, local_files_only=True)
    return model
