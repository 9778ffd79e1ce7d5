"""What a local run prints: every line into its log file, the stages and their progress to the person who waits."""

import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from components.errors import ERROR_PREFIX

_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"Executing task '([\w-]+)'$")
_ENDED = re.compile(r"Task '([\w-]+)' finished with status (\w+)$")
_PROGRESS = re.compile(r"^\s*(?:\d\d:\d\d:\d\d )?((?:train|evaluate|prepare|measure|choose|export|deploy): .*)")


class StageTime(NamedTuple):
    """How long one stage took, its process included."""

    stage: str
    seconds: float
    status: str


class RunLog(io.TextIOBase):
    """Stands in for standard output while KFP runs the pipeline, and reads what KFP and the stages say.

    Args:
        path: the log file.
        tell: shows one line to the person who waits.
    """

    def __init__(self, path: Path, tell: Callable[[str], None]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")
        self._tell = tell
        self._rest = ""
        self._started: dict[str, float] = {}
        self._stages: list[StageTime] = []
        self.sentences: list[str] = []

    @property
    def stages(self) -> list[StageTime]:
        """The finished stages, in the order in which they ended; the branches around them left out."""
        return [stage for stage in self._stages if not stage.stage.startswith("condition")]

    def writable(self) -> bool:
        """Return True, as a text stream does."""
        return True

    def write(self, text: str) -> int:
        """Take what was printed, line by line."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._take(_COLOR.sub("", line))
        return len(text)

    def close(self) -> None:
        """Close the log file."""
        self._file.close()
        super().close()

    def _take(self, line: str) -> None:
        self._file.write(line + "\n")
        self._file.flush()
        if ERROR_PREFIX in line:
            self.sentences.append(line.split(ERROR_PREFIX, 1)[1].strip())
        elif started := _STARTED.search(line):
            self._start(started[1])
        elif ended := _ENDED.search(line):
            self._end(ended[1], ended[2])
        elif progress := _PROGRESS.match(line):
            self._tell(f"    {progress[1].rstrip()}")

    def _start(self, stage: str) -> None:
        self._started[stage] = time.monotonic()
        if not stage.startswith("condition"):
            self._tell(f"  {stage} …")

    def _end(self, stage: str, status: str) -> None:
        seconds = time.monotonic() - self._started[stage]
        self._stages.append(StageTime(stage, round(seconds, 1), status))
        if not stage.startswith("condition"):
            self._tell(f"  {stage} {'done' if status == 'SUCCESS' else 'FAILED'} in {seconds:.1f} s")
