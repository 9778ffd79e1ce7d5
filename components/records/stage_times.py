"""Where the time of a stage's process went, as a line in its log that `submit --follow` reads again."""

import re
from datetime import UTC, datetime
from typing import NamedTuple

_LINE = re.compile(r"ranklift: times: imports ([\d.]+) s, work [\d.]+ s; (\S+) (\S+)\s*$")


class StageTimes(NamedTuple):
    """When a stage's process ran, and how much of that went into imports."""

    began: float  #: the process, in seconds since 1970
    ended: float  #: the body, in seconds since 1970
    imports: float  #: seconds until the body began, and of the import statements in it

    @property
    def work(self) -> float:
        """The other seconds."""
        return max(0.0, self.ended - self.began - self.imports)

    def line(self) -> str:
        """Return the line for the log."""
        moments = (datetime.fromtimestamp(moment, UTC) for moment in (self.began, self.ended))
        told = " ".join(moment.isoformat(timespec="milliseconds") for moment in moments)
        return f"ranklift: times: imports {self.imports:.1f} s, work {self.work:.1f} s; {told}"

    @classmethod
    def find(cls, log: str) -> "StageTimes | None":
        """Return what the last such line of a log says; None where there is none."""
        found = next(filter(None, map(_LINE.search, reversed(log.splitlines()))), None)
        if found is None:
            return None
        began, ended = (datetime.fromisoformat(text).timestamp() for text in found.groups()[1:])
        return cls(began, ended, float(found[1]))
