"""What the JSON files of a model's folder say, before anything is opened."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from components.errors import ModelError

SETTINGS = "config_sentence_transformers.json"


class Module(NamedTuple):
    """One module of a model: the last part of its type, whether the library has it, and its folder."""

    kind: str
    is_of_the_library: bool
    folder: Path


def modules_of(directory: Path) -> list[Module]:
    """Return the modules of a model, in order; none where there is no ``modules.json`` or it names none."""
    entries = read_json(directory / "modules.json", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ModelError(f"{directory / 'modules.json'} is not a list of modules; save the model again.")
    return [
        Module(
            kind=str(entry.get("type", "")).rpartition(".")[2],
            is_of_the_library=str(entry.get("type", "")).startswith("sentence_transformers."),
            folder=directory / str(entry.get("path", "")),
        )
        for entry in entries
    ]


def transformer_of(directory: Path) -> Path:
    """Return the folder of a model's transformer: that of its first module, or its own where it names no modules."""
    modules = modules_of(directory)
    return modules[0].folder if modules else directory


def architecture_of(directory: Path) -> str:
    """Return the name of a model's transformer class; empty where its configuration has none."""
    names = read_json(transformer_of(directory) / "config.json").get("architectures")
    return str(names[0]) if isinstance(names, list) and names else ""


def read_json(path: Path, default: Any = None) -> Any:
    """Return a JSON file of the model, or an empty object where there is none."""
    if not path.is_file():
        return {} if default is None else default
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON ({error}); download the model again.") from error
    if default is None and not isinstance(content, dict):
        raise ModelError(f"{path} is not a JSON object; download the model again.")
    return content
