"""A folder that a stage makes: only an empty folder may be in its place, and it appears there when it is whole."""

import shutil
from pathlib import Path


def is_free(place: Path) -> bool:
    """Whether a folder can be made here: nothing is, or an empty folder."""
    return not place.exists() or (place.is_dir() and not any(place.iterdir()))


def move_whole(made: Path, place: Path) -> None:
    """Move a finished folder to a place that is free."""
    if place.exists():
        place.rmdir()
    shutil.move(made, place)
