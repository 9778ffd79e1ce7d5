"""Room in a cache: the entries that were used longest ago leave."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

LIMIT_BYTES = 20 << 30  #: of all entries of a cache together


def make_room(newest: Path, is_entry: Callable[[Path], bool], limit_bytes: int = LIMIT_BYTES) -> None:
    """Remove the entries of a cache that were used longest ago until the rest fits the limit; never the newest.

    Args:
        newest: a folder in the cache's.
        is_entry: whether a path beside it is an entry.
        limit_bytes: of all entries together.
    """
    room = limit_bytes - _size(newest)
    entries = [path for path in newest.parent.iterdir() if path != newest and is_entry(path)]
    for entry in sorted(entries, key=lambda path: path.stat().st_mtime, reverse=True):
        room -= _size(entry)
        if room < 0:
            shutil.rmtree(entry, ignore_errors=True)


def mark_used(entry: Path) -> None:
    """Say that an entry was used now."""
    os.utime(entry)


def _size(entry: Path) -> int:
    return sum(path.stat().st_size for path in entry.iterdir() if path.is_file())
