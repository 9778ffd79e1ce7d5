"""Keeps a training's checkpoints in the object store while it runs, and begins with the newest that lies there.

Nothing here ends a training: what the store cannot do is one sentence on standard error, and training goes on.
"""

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from transformers import TrainerCallback

from components.errors import RankliftError, StoppedError, StoreError
from components.stage import tell
from components.train.checkpoints.local import newest_checkpoint, step_of, usable_checkpoints
from components.train.checkpoints.store import AbandonedError, StoredCheckpoint, StoredTraining
from components.train.ranks import Ranks

_PATIENCE = 20.0  # seconds for the last upload when training was stopped: Kubernetes kills a pod 30 s after SIGTERM
_OWN = (".upload-", ".fetch-")


class Snapshot(NamedTuple):
    """A checkpoint that waits for its upload, in hard links: the trainer may remove its own copy meanwhile."""

    folder: Path  #: with `checkpoint-40`, and the best one beside it when the store may not have it yet
    step: int
    best: int | None  #: the step of the checkpoint that was the best when it was saved


@contextmanager
def kept_in(
    training: StoredTraining | None, folder: Path, patience: float = _PATIENCE, ranks: Ranks | None = None
) -> Iterator["CheckpointUploads"]:
    """Keep the checkpoints in the store while training runs; the trainer gets what is yielded as a callback.

    At first the newest whole checkpoint of the store is fetched into `folder`, unless a newer one lies there; of
    several processes the first of each machine fetches it, and the first of all uploads. When training was stopped or
    broke off, its last checkpoint is uploaded within `patience` seconds; when it is done or can never be, the store
    keeps nothing of it.

    Args:
        training: where; None keeps them on this machine alone.
        folder: in which the trainer saves.
        patience: seconds.
        ranks: the processes that train together; None when this one is alone.
    """
    uploads = CheckpointUploads(training, folder, patience, ranks)
    uploads.fetch()
    try:
        yield uploads
    except StoppedError:
        uploads.finish()
        raise
    except RankliftError:
        uploads.forget()
        raise
    except Exception:
        uploads.finish()
        raise
    uploads.forget()


class CheckpointUploads(TrainerCallback):
    """Uploads each checkpoint that the trainer saves, in a thread; while one is under way, the newest of those that
    come meanwhile waits, and older ones are left out."""

    def __init__(
        self,
        training: StoredTraining | None,
        folder: Path,
        patience: float = _PATIENCE,
        ranks: Ranks | None = None,
    ) -> None:
        self._ranks = ranks or Ranks()
        self._source = training if self._ranks.leads_node else None
        self._training = training if self._ranks.is_first else None  # to which is uploaded
        self._folder = folder
        self._patience = patience
        self._stored: dict[int, str] = {}  # step → name in the store, of checkpoints that are there whole
        self._taken = 0  # the latest step handed to the thread
        self._failing = False
        self._keeps_old = False
        self._is_over = False
        self._lock = threading.Lock()
        self._waiting: Snapshot | None = None
        self._thread: threading.Thread | None = None

    # Before training

    def fetch(self) -> None:
        """Bring the newest whole checkpoint of the store to this machine, unless it has a newer one.

        Where several machines train together, also beside a newer one, which the others may not have.
        """
        if self._source is None:
            return
        for prefix in _OWN:  # of a process that was killed
            for left in self._folder.glob(f"{prefix}*"):
                shutil.rmtree(left, ignore_errors=True)
        try:
            self._fetch_newest(self._source)
        except (RankliftError, OSError) as error:
            _tell("No checkpoint can be had from the object store, and training goes on", error)
            return
        if self._training is None:
            return
        try:
            self._training.remove_abandoned()
        except RankliftError as error:
            _tell("What other trainings left in the object store stays there", error)

    def _fetch_newest(self, training: StoredTraining) -> None:
        here = {step_of(checkpoint) for checkpoint in usable_checkpoints(self._folder)}
        checkpoints = training.whole()
        self._stored = {checkpoint.step: checkpoint.name for checkpoint in reversed(checkpoints)}
        for checkpoint in checkpoints:
            if checkpoint.step in here or (self._ranks.count == 1 and checkpoint.step < max(here, default=0)):
                return
            if self._brought(training, checkpoint):
                return

    def _brought(self, training: StoredTraining, checkpoint: StoredCheckpoint) -> bool:
        try:
            manifest = training.manifest(checkpoint)
            if manifest.best not in {"", checkpoint.name}:
                self._bring(training, _checkpoint_named(manifest.best))
            self._bring(training, checkpoint)
        except StoreError as error:
            self._stored.pop(checkpoint.step, None)  # another one of this step is uploaded anew
            # What the registry's own remedy would be does not concern a checkpoint.
            _tell(f"The checkpoint of step {checkpoint.step} in the store is not used: {str(error).partition(';')[0]}.")
            return False
        _tell(f"the checkpoint of step {checkpoint.step} comes from {training}")
        return True

    def _bring(self, training: StoredTraining, checkpoint: StoredCheckpoint) -> None:
        place = self._folder / f"checkpoint-{checkpoint.step}"
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".fetch-") as scratch:
            fetched = Path(scratch) / place.name
            training.download(checkpoint, fetched)
            if place.exists():
                shutil.rmtree(place)
            fetched.rename(place)

    # While it runs

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the checkpoint that the trainer just saved."""
        self._ranks.wait()  # each process writes a part of it
        if self._ranks.is_first:
            self.keep(self._folder / f"checkpoint-{state.global_step}")

    def keep(self, checkpoint: Path) -> None:
        """Have a checkpoint uploaded; takes no longer than to link its files."""
        if self._training is None:
            return
        try:
            snapshot = self._link(checkpoint)
        except (OSError, ValueError) as error:
            _tell(f"The checkpoint of step {step_of(checkpoint)} stays on this machine, and training goes on", error)
            return
        self._taken = snapshot.step
        with self._lock:
            left_out, self._waiting = self._waiting, snapshot
            if self._thread is None or not self._thread.is_alive():
                # A daemon: the process can end while the store does not answer.
                self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)
                self._thread.start()
        if left_out is not None:
            shutil.rmtree(left_out.folder, ignore_errors=True)

    def _link(self, checkpoint: Path) -> Snapshot:
        named = json.loads((checkpoint / "trainer_state.json").read_bytes())["best_model_checkpoint"]
        best = step_of(Path(named)) if named else None
        folder = Path(tempfile.mkdtemp(dir=self._folder, prefix=".upload-"))
        _link_tree(checkpoint, folder / checkpoint.name)
        if best not in {None, step_of(checkpoint)} and best not in self._stored:
            _link_tree(checkpoint.with_name(f"checkpoint-{best}"), folder / f"checkpoint-{best}")
        return Snapshot(folder, step_of(checkpoint), best)

    def _work(self) -> None:
        while True:
            with self._lock:
                snapshot, self._waiting = self._waiting, None
                if snapshot is None:
                    self._thread = None
                    return
            try:
                self._upload(snapshot)
                self._failing = False
            except AbandonedError:
                pass  # training is over, and the store keeps nothing of it
            except (RankliftError, OSError) as error:
                self._fail(snapshot, error)
            finally:
                shutil.rmtree(snapshot.folder, ignore_errors=True)

    def _upload(self, snapshot: Snapshot) -> None:
        training = self._training
        assert training is not None  # noqa: S101 - nothing is taken without one
        best = ""
        if snapshot.best == snapshot.step:
            best = "self"
        elif snapshot.best is not None:
            best = self._stored.get(snapshot.best) or self._put(training, snapshot, snapshot.best, "self")
        name = self._put(training, snapshot, snapshot.step, best)
        newest = _checkpoint_named(name)
        kept = {newest.step: name}
        if best and snapshot.best is not None:
            kept[snapshot.best] = name if best == "self" else best
        self._stored = kept
        try:
            training.keep_only(newest, kept.get(snapshot.best or 0, ""))
        except RankliftError as error:
            if not self._keeps_old:
                _tell(f"Checkpoints that are not needed any more stay in {training}, and training goes on", error)
            self._keeps_old = True

    def _put(self, training: StoredTraining, snapshot: Snapshot, step: int, best: str) -> str:
        folder = snapshot.folder / f"checkpoint-{step}"
        name = training.upload(folder, step, best, lambda: not self._is_over).name
        self._stored[step] = name
        return name

    def _fail(self, snapshot: Snapshot, error: Exception) -> None:
        if not self._failing and not self._is_over:
            _tell(f"The checkpoint of step {snapshot.step} stays on this machine, and training goes on", error)
        self._failing = True

    # After it

    def finish(self) -> None:
        """Upload the last checkpoint, within bounds."""
        if self._training is None:
            return
        newest = newest_checkpoint(self._folder)
        if newest is not None and step_of(newest) > self._taken and step_of(newest) not in self._stored:
            self.keep(newest)
        if not self._is_idle_within(self._patience):
            _tell(
                f"The checkpoint of step {self._taken} did not get into the object store within {self._patience:g} s; "
                "another machine carries on from an earlier one."
            )

    def forget(self) -> None:
        """Remove all of this training from the store."""
        if self._training is None:
            return
        self._is_over = True
        with self._lock:
            left_out, self._waiting = self._waiting, None
        if left_out is not None:
            shutil.rmtree(left_out.folder, ignore_errors=True)
        self._is_idle_within(self._patience)
        try:
            self._training.remove()
        except RankliftError as error:
            _tell(f"Checkpoints of this training stay in {self._training}, where you can remove them", error)

    def _is_idle_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while (thread := self._thread) is not None and thread.is_alive():
            if (left := end - time.monotonic()) <= 0:
                return False
            thread.join(left)
        return True


def _link_tree(source: Path, target: Path) -> None:
    def link(file: str, other: str) -> str:
        try:
            os.link(file, other)
        except OSError:  # a file system without hard links
            shutil.copyfile(file, other)
        return other

    shutil.copytree(source, target, copy_function=link)


def _checkpoint_named(name: str) -> StoredCheckpoint:
    folder, _, content = name.partition("/")
    return StoredCheckpoint(step_of(Path(folder)), content)


def _tell(line: str, error: Exception | None = None) -> None:
    reason = f": {str(error).rstrip('.')}." if error is not None else ""
    tell("train", f"{line}{reason}")
