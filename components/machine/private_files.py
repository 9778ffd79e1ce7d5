"""Folders and files that their owner alone can read: logs and artifacts quote the data of users."""

import os
from pathlib import Path
from typing import IO


def private_folder(path: Path) -> Path:
    """Make a folder, or close one of ours, to all but its owner."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.stat().st_uid == os.getuid():
        path.chmod(0o700)
    return path


def private_log(path: Path) -> IO[bytes]:
    """Open a log anew for writing; nobody but its owner can read it, and it stays in a folder that others may enter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "wb")
