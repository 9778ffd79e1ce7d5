"""The base models that are to be compared, checked before the first of them is measured."""

from collections.abc import Sequence
from pathlib import Path

from components.errors import ModelError
from components.model.base import AUTO, PACKAGED_DEFAULT, base_model_directory


def check_names(base_models: Sequence[str]) -> None:
    """Raise a ModelError unless the names are some, and each of another model as far as names tell."""
    example = f"--models {PACKAGED_DEFAULT},BAAI/bge-small-en-v1.5"
    if not base_models:
        raise ModelError(f"There is no base model to choose from; name some, such as {example}.")
    for place, name in enumerate(base_models):
        if not isinstance(name, str) or name != name.strip() or not name:
            raise ModelError(f"{name!r} is no name of a base model; give names between commas, such as {example}.")
        if name == AUTO:
            raise ModelError(f"'{AUTO}' is no base model to compare with others; name it, such as {example}.")
        if name in base_models[:place]:
            raise ModelError(f"The base model {name} is named twice; name each once.")


def check_candidates(base_models: Sequence[str]) -> None:
    """Raise a ModelError when a base model cannot be fetched, is no encoder of texts, or is named twice."""
    check_names(base_models)
    found: dict[Path, str] = {}
    for name in base_models:
        directory = base_model_directory(name).resolve()
        if directory in found:
            raise ModelError(f"{found[directory]} and {name} are the same base model; name it once.")
        found[directory] = name
