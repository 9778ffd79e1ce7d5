"""What an interrupted training leaves, and how the next one of the same inputs goes on from there.

<folder>/<digest of the inputs>/checkpoint-40/   the trainer's own checkpoints
"""

import fcntl
import json
import shutil
import signal
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from components.errors import RankliftError, StoppedError
from components.machine.digest import records_sha256
from components.machine.scratch_folder import scratch_folder
from components.machine.stop_signals import StopSignals
from components.train.ranks import Ranks

__all__ = [
    "StopAndSave",
    "StoppedError",
    "checkpoints_of",
    "digest_of_inputs",
    "newest_checkpoint",
    "step_of",
    "usable_checkpoints",
]

_STATE = "trainer_state.json"  #: the trainer writes it last
_PACKED = ("optimizer.pt", "scheduler.pt")
_ABANDONED_SECONDS = 7 * 24 * 3600
#: Seconds: what is lost at most when the machine goes away, and when a pod is deleted, which leaves no time to save.
_SAVE_EVERY = 300.0
_STOP = 2  # what outdoes the wish to save


def digest_of_inputs(inputs: dict[str, str]) -> str:
    """Return what tells one training from another: 16 hexadecimal digits."""
    return records_sha256(f"{name}={inputs[name]}" for name in sorted(inputs))[:16]


@contextmanager
def checkpoints_of(parent: Path, inputs: dict[str, str]) -> Iterator[Path]:
    """Lock the checkpoint folder of one training for this process.

    It is removed when the training is done or can never be, and stays when it was interrupted; what nobody carried on
    with for a week is removed as well. Who trains on the same inputs at the same time gets a folder that does not stay.

    Args:
        parent: where such folders lie.
        inputs: everything that the result depends on; another value is another training, which begins at the start.
    """
    folder = parent / f".train-{digest_of_inputs(inputs)}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _remove_abandoned(parent, folder)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with scratch_folder(parent, ".train-twin-") as twin:
                yield twin
            return
        try:
            yield folder
        except StoppedError:
            raise
        except RankliftError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def step_of(checkpoint: Path) -> int:
    """Return the step after which the trainer saved a checkpoint, from its folder's name."""
    return int(checkpoint.name.rpartition("-")[2])


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint that training can carry on from; see `usable_checkpoints`."""
    return next(iter(usable_checkpoints(folder)), None)


def usable_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints that training can carry on from, the newest first; those that it cannot are removed.

    They may have been saved in another folder or on another machine: the path of the best one in them is made right.
    """
    checkpoints = sorted(folder.glob("checkpoint-*"), key=step_of, reverse=True)
    usable = [checkpoint for checkpoint in checkpoints if _is_usable(checkpoint)]
    for checkpoint in set(checkpoints).difference(usable):
        shutil.rmtree(checkpoint)
    return usable


def _is_usable(checkpoint: Path) -> bool:
    try:
        state = json.loads((checkpoint / _STATE).read_bytes())
    except (OSError, ValueError):
        return False  # cut short: the state is what the trainer writes last
    if not _is_whole(checkpoint):
        return False
    # After the last step of a part of an epoch the trainer would take one step more.
    if state["global_step"] >= state["max_steps"] and state["epoch"] % 1 > 0:
        return False
    best = state["best_model_checkpoint"]
    if best is None:
        return True
    here = checkpoint.with_name(Path(best).name)
    if not _is_whole(here):
        return False
    if str(here) != best:
        state["best_model_checkpoint"] = str(here)
        fresh = checkpoint / f".{_STATE}"
        fresh.write_text(json.dumps(state, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        fresh.replace(checkpoint / _STATE)
    return True


def _is_whole(checkpoint: Path) -> bool:
    """Whether weights, optimizer and schedule are there, and not cut short: a full disk or a power cut does that."""
    from safetensors import SafetensorError, safe_open

    weights = list(checkpoint.rglob("*.safetensors"))
    packed = [checkpoint / name for name in _PACKED]
    try:
        for path in weights:
            with safe_open(path, "np"):
                pass  # its header says how long the file is
        return bool(weights) and all(_is_whole_zip(path) for path in packed)
    except (OSError, SafetensorError, zipfile.BadZipFile):
        return False


def _is_whole_zip(path: Path) -> bool:
    with zipfile.ZipFile(path) as file:  # as torch.save writes it
        return file.testzip() is None


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
        self._signals = StopSignals()

    def __enter__(self) -> "StopAndSave":
        self._signals.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._signals.__exit__()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask the trainer to save when it is time for that."""
        saves = time.monotonic() - self._saved > self._every
        wish = self._ranks.largest(_STOP if self._signals.received is not None else int(saves))
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
            number = self._signals.received or signal.SIGTERM  # another process got it
            raise StoppedError(
                f"Training was stopped by {number.name} at step {state.global_step} of {state.max_steps}; run the "
                "same command again to resume from there.",
                number,
            )
