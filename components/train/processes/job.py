"""What `launch` and its worker processes tell each other, through a folder.

job.json        what to train
rank-1.pid      the worker of that rank on this node
rank-1.json     why it ended, when it did not end well
"""

import signal
from pathlib import Path
from typing import ClassVar

from components.errors import DataError, ModelError, RankliftError, StoppedError, StoreError
from components.records.document import Document
from components.train.options import TrainOptions

_KINDS: dict[str, type[RankliftError]] = {
    kind.__name__: kind for kind in (DataError, ModelError, RankliftError, StoppedError, StoreError)
}


class Job(Document):
    """What every worker does."""

    noun: ClassVar[str] = "training job"

    dataset: Path
    output: Path
    options: TrainOptions
    log: Path | None = None  #: for progress as JSON lines
    tensorboard: Path | None = None
    scores: Path | None = None  #: for a teacher's scores that several trainings share


class Ending(Document):
    """An error that is meant for a person, on its way from one process to another."""

    noun: ClassVar[str] = "record of how a training ended"

    kind: str
    sentence: str
    signal: int = signal.SIGTERM  #: that asked to stop, where one did

    @classmethod
    def of(cls, error: RankliftError) -> "Ending":
        """Return the record of an error."""
        known = next(kind for kind in type(error).__mro__ if kind.__name__ in _KINDS)
        number = error.signal if isinstance(error, StoppedError) else signal.SIGTERM
        return cls(kind=known.__name__, sentence=str(error), signal=number)

    def error(self) -> RankliftError:
        """Return the error of the record."""
        if self.kind == StoppedError.__name__:
            return StoppedError(self.sentence, signal.Signals(self.signal))
        return _KINDS.get(self.kind, RankliftError)(self.sentence)


def job_path(folder: Path) -> Path:
    """Where the job is."""
    return folder / "job.json"


def pid_path(folder: Path, rank: int) -> Path:
    """Where a worker says which process it is."""
    return folder / f"rank-{rank}.pid"


def ending_path(folder: Path, rank: int) -> Path:
    """Where a worker says why it ended."""
    return folder / f"rank-{rank}.json"
