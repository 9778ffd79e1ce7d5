"""The process that keeps one embedded object store alive for as long as any process uses it, and not a moment longer.

Standard library only: it starts beside every command that finds no configured object store, so it must start fast.
Users hold a shared lock on ``users.lock``; the kernel drops it when they end, however they end. When the last one is
gone the supervisor stops the store. Should the supervisor itself be killed, the kernel kills the store (Linux).
"""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

SUPERVISOR_LOCK = "supervisor.lock"
USERS_LOCK = "users.lock"
LOG = "store.log"
_PR_SET_PDEATHSIG = 1
_GRACE = 3.0  # seconds between SIGTERM and SIGKILL; an idle store takes about 1, one with open connections more


def supervise(directory: Path, command: list[str]) -> int:
    """Run the store until its last user is gone; returns at once when another supervisor is running."""
    if not _take(_open_for_life(directory / SUPERVISOR_LOCK)):
        return 0
    with (directory / LOG).open("wb") as log:
        # This process has one thread so far, which is what makes preexec_fn safe.
        store = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_parent,  # noqa: PLW1509
        )
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: store.terminate())
    threading.Thread(target=_stop_when_unused, args=(directory / USERS_LOCK, store), daemon=True).start()
    return store.wait()


def _open_for_life(path: Path) -> int:
    """Return a file that only the kernel closes: once its lock is free, this process is gone, not about to go."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _take(lock: int) -> bool:
    # Who asks whether a supervisor runs holds the lock for a moment: hence more than one try.
    for _ in range(100):
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.01)
    return False


def _die_with_parent() -> None:
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if parent == 1:
            os._exit(1)  # the supervisor was killed in between


def _stop_when_unused(users: Path, store: "subprocess.Popen[bytes]") -> None:
    # The lock is kept until this process ends: who comes now waits, then starts a new supervisor.
    fcntl.flock(_open_for_life(users), fcntl.LOCK_EX)
    store.terminate()
    try:
        store.wait(_GRACE)
    except subprocess.TimeoutExpired:
        store.kill()
        store.wait()


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1]), sys.argv[2:]))
