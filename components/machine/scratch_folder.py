"""A folder for work in progress, beside the result: gone at the end, or with the next one after a kill."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_LOCK = ".lock"
_YOUNG = 24 * 3600.0  # seconds: without a lock it may be new, or in use by an earlier release


@contextmanager
def scratch_folder(beside: Path, prefix: str) -> Iterator[Path]:
    """Make a folder and remove it at the end; first remove those that killed processes left with the same prefix.

    A folder is in use while its process holds the lock in it, which the kernel frees whatever the process died of.

    Args:
        beside: the folder in which it is made.
        prefix: of its name, such as ".ranklift-".
    """
    _remove_abandoned(beside, prefix)
    folder, lock = _make(beside, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


def _make(beside: Path, prefix: str) -> tuple[Path, IO[bytes]]:
    while True:
        folder = Path(tempfile.mkdtemp(dir=beside, prefix=prefix))
        lock = (folder / _LOCK).open("ab")
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_that_file(folder / _LOCK, lock):
            return folder, lock
        lock.close()  # another process took it for an abandoned one before it was locked


def _is_that_file(path: Path, file: IO[bytes]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _remove_abandoned(beside: Path, prefix: str) -> None:
    for folder in beside.glob(f"{prefix}*"):
        _remove_if_abandoned(folder)


def _remove_if_abandoned(folder: Path) -> None:
    try:
        with (folder / _LOCK).open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)  # under the lock: whoever waits for it finds the file gone
    except FileNotFoundError:
        if folder.is_dir() and time.time() - folder.stat().st_mtime > _YOUNG:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        return  # in use, or not ours
