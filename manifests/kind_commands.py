"""Programs that `kind.py` runs: each bounded in time with all that it started, and what failed as one sentence."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL = float(os.environ.get("RANKLIFT_KIND_POLL", "5"))
#: Part of what kubectl says while a webhook or a kind is not there yet; the next try may find it.
_PASSING = re.compile(
    r"failed calling webhook|no matches for kind|no matching resources|not found|connection refused|time(d )?out|EOF"
)
#: What no further try mends, whatever else is said beside it. The namespaces are those that our own manifests make.
_LASTING = re.compile(
    r'namespaces "(ranklift|ranklift-store|kserve|kubeflow)" not found|is forbidden: User|Invalid value|unknown field'
    r"|no such file or directory|unknown flag"
)
_TIMEOUT = re.compile(r"(?<=[?&]timeout=)\d+s")


class SetupError(Exception):
    """What went wrong, and what to do, for the person who waits."""

    def __init__(self, sentence: str, said: str = "") -> None:
        super().__init__(sentence)
        self.said = said or sentence  #: everything that the program said

    def may_pass(self) -> bool:
        """Whether another try may go better."""
        return not _LASTING.search(self.said) and bool(_PASSING.search(self.said))


class TimeUpError(SetupError):
    """The time was over; the sentence says what stood in the way, as far as anything said it."""


def run(*command: str, timeout: float = 600) -> str:
    """Run a command and return what it printed; what it started ends with it.

    Raises:
        SetupError: when the program is missing, takes too long or fails.
    """
    shown = " ".join(command)
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
    except FileNotFoundError as error:
        raise SetupError(f"The program {command[0]} is not installed, or not on the PATH; see README.md.") from error
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise TimeUpError(f"`{shown}` timed out after {timeout:.0f} s.") from error
    finally:
        if process.poll() is None:
            # kubectl's own children, such as git of a remote kustomization, must not go on, nor hold its pipes open.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode != 0:
        said = (errors or output).strip()
        short = " ".join(said.splitlines()[-3:]) or str(process.returncode)
        raise SetupError(f"`{shown}` failed: {short}", said)
    return output


def until(give_up: float, attempt: Callable[[float], object]) -> None:
    """Try again while what fails may pass, until a monotonic time.

    Raises:
        SetupError: what cannot pass, at once.
        TimeUpError: when the time is over: with the last error that said something, not the last attempt's time-out.
    """
    last: SetupError | None = None
    while True:
        left = give_up - time.monotonic()
        try:
            attempt(max(left, 1.0))
            return
        except SetupError as error:
            cut_short = isinstance(error, TimeUpError) or left <= POLL
            if not isinstance(error, TimeUpError) and not error.may_pass():
                raise
            if cut_short and last is not None:
                raise TimeUpError(f"{last} (the last attempt: {error})") from error
            if cut_short or time.monotonic() >= give_up:
                raise TimeUpError(str(error)) from error
            last = error
        time.sleep(POLL)


@contextmanager
def patient(folder: Path, seconds: float) -> Iterator[Path]:
    """Make a kustomization whose fetches from a repository may take so many seconds.

    Kustomize takes that time from the URL alone; one that has it there is copied, with the time that there is.
    """
    text = (folder / "kustomization.yaml").read_text(encoding="utf-8")
    if not _TIMEOUT.search(text):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="ranklift-") as temporary:
        copied = Path(temporary) / "manifests" / folder.parent.name / folder.name
        shutil.copytree(folder, copied)
        (copied / "kustomization.yaml").write_text(_TIMEOUT.sub(f"{max(seconds, 1):.0f}s", text), encoding="utf-8")
        yield copied
