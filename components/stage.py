"""What surrounds the body of every stage, whatever runs it."""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from components.errors import ERROR_PREFIX, RankliftError
from components.machine.garbage import spare_collections
from components.machine.import_clock import ImportClock
from components.machine.patience import process_age
from components.machine.processor import limit_threads
from components.machine.stamped_lines import StampedLines
from components.machine.system_faults import system_sentence
from components.records.stage_times import StageTimes

#: Runs of the pipeline in processes ignore the image; elsewhere the DAG sets each stage's own.
DEFAULT_IMAGE = "python:3.11-slim-bookworm"
#: What a pod's status says of a container that ended: Kubernetes keeps 4,096 bytes of it, and Argo hands them on.
TERMINATION_LOG = Path("/dev/termination-log")
_TERMINATION_BYTES = 4000
_QUIET = ("TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS")


class Stage:
    """The body of a stage, as a context: what its log looks like, and how it ends.

    A problem that the user can fix is one sentence, in the log and in the pod's status, and status 2; 128 + the
    signal's number after a signal asked the stage to stop. The log has no progress bars, in a pod a time before each
    line, and at its end where the time went.

    Args:
        name: of the stage.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._began = time.time() - process_age()
        self._entered = time.time()
        self._imports = ImportClock()
        self._around = ExitStack()

    def __enter__(self) -> Self:
        spare_collections()
        limit_threads()
        self._around.enter_context(self._imports)
        self._around.enter_context(_quiet())
        if os.environ.get("KUBERNETES_SERVICE_HOST"):
            self._around.enter_context(redirect_stdout(StampedLines(sys.stdout)))
            self._around.enter_context(redirect_stderr(StampedLines(sys.stderr)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._around:
            times = StageTimes(self._began, time.time(), self._entered - self._began + self._imports.seconds)
            print(times.line(), file=sys.stderr, flush=True)
            if isinstance(error, Exception):
                _keep_in_status(f"{self.name}: {_sentence(error) or f'{type(error).__name__}: {error}'}")
            _end(error)


def tell(stage: str, line: str) -> None:
    """Show one line of a stage's progress on standard error, for a terminal and a pod's log alike.

    A local run knows the line as progress by the stage's name in front.
    """
    print(f"{stage}: {line}", file=sys.stderr, flush=True)


@contextmanager
def reported() -> Iterator[None]:
    """End the process with one sentence where the user can fix the problem; the log needs no traceback."""
    try:
        yield
    except (RankliftError, ValidationError, OSError) as error:
        _end(error)
        raise


def _end(error: BaseException | None) -> None:
    if error is None or not (sentence := _sentence(error)):
        return
    print(f"{ERROR_PREFIX}{sentence}", file=sys.stderr, flush=True)
    raise SystemExit(error.exit_status if isinstance(error, RankliftError) else 2) from None


def _sentence(error: BaseException) -> str:
    """Return what a person can do something about; empty for anything else."""
    if isinstance(error, ValidationError):
        return invalid_value(error)
    if isinstance(error, OSError):
        return system_sentence(error) or ""
    return str(error) if isinstance(error, RankliftError) else ""


def _keep_in_status(sentence: str) -> None:
    """Write what went wrong where Kubernetes looks for it; nowhere on a machine that is no pod."""
    if not TERMINATION_LOG.is_file():
        return
    try:
        # Cut between two letters: a status is text, and half of one is none.
        TERMINATION_LOG.write_bytes(sentence.encode()[:_TERMINATION_BYTES].decode(errors="ignore").encode())
    except OSError as refusal:
        print(
            f"ranklift: the error cannot be written to the pod's status ({refusal.strerror})",
            file=sys.stderr,
            flush=True,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep libraries from drawing progress bars and from telling what they do; their warnings stay."""
    os.environ.update(dict.fromkeys(_QUIET, "1"))  # for what is imported from here on, in other processes as well
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.WARNING)  # KFP sets it to INFO, and sentence-transformers then draws a bar for each batch
    try:
        yield
    finally:
        root.setLevel(level)


def invalid_value(error: ValidationError) -> str:
    """Return the first of the values that is invalid, as a sentence."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))} = {first['input']!r} is invalid: {first['msg']}."
