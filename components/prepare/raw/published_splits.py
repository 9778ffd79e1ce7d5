"""Splits that a folder of files brings with it, as data sets of the hub do: ``train``, ``test`` and what lies between.

The hub tells splits by a word in the path of a file, such as ``data/train-00000-of-00002.parquet`` or ``test.jsonl``.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Side = Literal["train", "dev", "evaluation"]
_WORDS: dict[Side, set[str]] = {
    "train": {"train", "training"},
    "dev": {"dev", "development", "valid", "validation", "val"},
    "evaluation": {"test", "testing", "eval", "evaluation"},
}


def published_sides(files: Sequence[Path], directory: Path) -> tuple[Side, ...]:
    """Return the side of each file; empty unless there are files to train on and others that were held out.

    A file whose path has none of the words is to train on.
    """
    if len(files) < 2:
        return ()
    sides = tuple(_side_of(path.relative_to(directory)) for path in files)
    return sides if len(set(sides)) > 1 and "train" in sides else ()


def _side_of(path: Path) -> Side:
    # The file's own name says more than its folder's.
    for part in reversed(path.parts):
        words = set(re.split(r"[^a-z]+", part.lower()))
        for side, names in _WORDS.items():
            if words & names:
                return side
    return "train"
