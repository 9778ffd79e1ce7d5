"""Progress of a long stage, for people: how far, how fast, how long still."""

import time
from collections.abc import Callable
from typing import Protocol

from components.stage import tell


class Progress(Protocol):
    """Told again and again how far a phase is; `done` reaches `total` once."""

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Take note that `done` of `total` texts of a phase are finished."""


def silent(phase: str, done: int, total: int) -> None:
    """Tell nobody."""


def _tell(line: str) -> None:
    tell("evaluate", line)


class ProgressLog:
    """Writes a line with rate and time left every few seconds: readable on a terminal and in a container's log."""

    def __init__(
        self,
        write: Callable[[str], None] = _tell,
        interval: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._interval = interval
        self._clock = clock
        self._phase = ""
        self._started = self._last = clock()

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Write a line when the interval has passed, and one when the phase ends if it had any."""
        now = self._clock()
        if phase != self._phase:
            self._phase, self._started, self._last = phase, now, now
        if now - self._last >= self._interval or (done >= total and self._last > self._started):
            self._last = now
            self._write(progress_line(phase, done, total, now - self._started))


def progress_line(phase: str, done: int, total: int, seconds: float) -> str:
    """One line: how many are done, at which rate, and how long the rest takes at that rate."""
    rate = done / seconds if seconds > 0 else 0.0
    line = f"{phase}: {done:,} of {total:,} ({done / max(1, total):.0%}), {rate:,.0f} texts/s"
    if done >= total:
        return f"{line}, {seconds:.0f} s"
    return f"{line}, {_duration((total - done) / rate)} left" if rate else line


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
