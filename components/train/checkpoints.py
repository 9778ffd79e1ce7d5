"""What an interrupted training leaves, and how the next one of the same inputs goes on from there.

<folder>/<digest of the inputs>/checkpoint-40/   the trainer's own checkpoints
"""

import fcntl
import json
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from transformers import TrainerCallback

from components.digest import records_sha256
from components.errors import RankliftError, StoppedError
from components.train.ranks import Ranks

_STATE = "trainer_state.json"  #: the trainer writes it last
_ABANDONED_SECONDS = 7 * 24 * 3600
_SAVE_EVERY = 300.0  # seconds: what is lost at most when the machine goes away
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_STOP = 2  # what outdoes the wish to save


@contextmanager
def checkpoints_of(parent: Path, inputs: dict[str, str]) -> Iterator[Path]:
    """The folder of the checkpoints of one training, for one process at a time.

    It is removed when the training is done or can never be, and stays when it was interrupted; what nobody carried on
    with for a week is removed as well. Who trains on the same inputs at the same time gets a folder that does not stay.

    Args:
        parent: where such folders lie.
        inputs: everything that the result depends on; another value is another training, which begins at the start.
    """
    folder = parent / f".train-{records_sha256(f'{name}={inputs[name]}' for name in sorted(inputs))[:16]}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _remove_abandoned(parent, folder)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with tempfile.TemporaryDirectory(dir=parent, prefix=".train-twin-") as twin:
                yield Path(twin)
            return
        try:
            yield folder
        except StoppedError:
            raise
        except RankliftError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that training can carry on from; newer ones that it cannot are removed."""
    checkpoints = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for checkpoint in checkpoints:
        if _is_usable(checkpoint):
            return checkpoint
        shutil.rmtree(checkpoint)
    return None


def _is_usable(checkpoint: Path) -> bool:
    try:
        state = json.loads((checkpoint / _STATE).read_bytes())
    except (OSError, ValueError):
        return False  # cut short: the state is what the trainer writes last
    best = state["best_model_checkpoint"]
    # After the last step of a part of an epoch the trainer would take one step more.
    is_over = state["global_step"] >= state["max_steps"] and state["epoch"] % 1 > 0
    return not is_over and (best is None or Path(best).is_dir())


def _remove_abandoned(parent: Path, own: Path) -> None:
    for folder in parent.glob(".train-" + "?" * 16):
        if folder != own and time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


class StopAndSave(TrainerCallback):
    """Saves a checkpoint every few minutes; on SIGTERM or SIGINT saves one after the step that runs, and stops.

    A second signal ends the process at once. Signals are handled while used as a context, on the main thread. Of
    processes that train together all save and stop after the same step, whichever of them was asked to.
    """

    def __init__(self, every: float = _SAVE_EVERY, ranks: Ranks | None = None) -> None:
        self._every = every
        self._ranks = ranks or Ranks()
        self._stops = False
        self._saved = time.monotonic()
        self._before: dict[int, Any] = {}
        self._signal: signal.Signals | None = None

    def __enter__(self) -> "StopAndSave":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._take) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._signal = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask the trainer to save when it is time for that."""
        saves = time.monotonic() - self._saved > self._every
        wish = self._ranks.largest(_STOP if self._signal is not None else int(saves))
        self._stops = wish == _STOP
        if wish:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take note that a checkpoint was saved.

        Raises:
            StoppedError: when training was asked to stop, and is not at its end anyway.
        """
        self._saved = time.monotonic()
        if self._stops and state.global_step < state.max_steps:
            self._ranks.wait()  # the first process may still be writing
            by = f"by {self._signal.name} " if self._signal is not None else ""
            raise StoppedError(
                f"Training was stopped {by}at step {state.global_step} of {state.max_steps}; run "
                "the same again to carry on from there."
            )
