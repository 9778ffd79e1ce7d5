"""Processes that this one starts: what they say is shown here as well, and their death by a signal is one sentence."""

import signal
import sys
from collections.abc import Iterable, Iterator


def show(line: str) -> None:
    """Write one line of a process to standard error, at once."""
    sys.stderr.write(line)
    sys.stderr.flush()


def shown(lines: Iterable[str] | None) -> Iterator[str]:
    """Yield the lines of a process, each after it was shown.

    Args:
        lines: its output; None for none, as `subprocess.Popen` has it where there is no pipe.
    """
    for line in lines or ():
        show(line)
        yield line


def death_by_signal(status: int, process: str, remedy: str) -> str:
    """Return the sentence about a process that a signal ended; empty where none did.

    Args:
        status: as `subprocess` returns it: below 0 it is a signal's number.
        process: the subject of the sentence, such as "A training process".
        remedy: what to do, beside giving the stage more memory where that may help.
    """
    if status >= 0:
        return ""
    if status == -signal.SIGKILL:
        return (
            f"{process} was killed (SIGKILL), most often because memory ran out; give the stage more memory, or "
            f"{remedy}."
        )
    return f"{process} died of {_name(-status)}; {remedy}, or report it."


def _name(number: int) -> str:
    known = {member.value: member.name for member in signal.Signals}
    return known.get(number, f"signal {number}")
