"""Where the time of a stage's process went, as a line in its log that `submit --follow` reads again."""

import re
from datetime import UTC, datetime
from typing import NamedTuple

_LINE = re.compile(r"ranklift: times: imports [\d.]+ s, work [\d.]+ s; (\S+) (\S+) (\S+)\s*$")


class StageTimes(NamedTuple):
    """Three moments, in seconds since 1970."""

    began: float  #: the process
    imported: float  #: all that the body imports
    ended: float  #: the body

    def line(self) -> str:
        """The line for the log."""
        moments = " ".join(datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds") for moment in self)
        imports, work = self.imported - self.began, self.ended - self.imported
        return f"ranklift: times: imports {imports:.1f} s, work {work:.1f} s; {moments}"

    @classmethod
    def find(cls, log: str) -> "StageTimes | None":
        """What the last such line of a log says; None where there is none."""
        found = next(filter(None, map(_LINE.search, reversed(log.splitlines()))), None)
        if found is None:
            return None
        began, imported, ended = (datetime.fromisoformat(text).timestamp() for text in found.groups())
        return cls(began, imported, ended)
