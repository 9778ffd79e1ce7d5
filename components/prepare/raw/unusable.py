"""Rows that are not what their format says: counted by reason, with the lines where the first of them stand."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.dataset.dropped_share import refuse_large_share
from components.dataset.manifest import Rule

_EXAMPLES = 3


@dataclass
class _Reason:
    count: int = 0
    places: list[tuple[Path, int]] = field(default_factory=list)


class Unusable:
    """The rows of all files that were left out on reading."""

    def __init__(self) -> None:
        self.rows = 0  #: that were read, whatever became of them
        self._reasons: dict[str, _Reason] = {}

    def add(self, path: Path, line: int, reason: str) -> None:
        """Count one row that was left out."""
        found = self._reasons.setdefault(reason, _Reason())
        found.count += 1
        if len(found.places) < _EXAMPLES:
            found.places.append((path, line))

    def rules(self) -> list[Rule]:
        """Return what was left out, by reason, the most frequent first."""
        return [
            Rule(
                name="not_in_schema",
                description=f"{reason} ({_places(found.places)})",
                dropped=found.count,
                examples=[_example(path, line) for path, line in found.places],
            )
            for reason, found in self._sorted()
        ]

    def check(self) -> None:
        """Raise a DataError when more than a twentieth of all rows was left out."""
        if not self._reasons:
            return
        reason, found = self._sorted()[0]
        path = found.places[0][0]
        dropped = sum(found.count for found in self._reasons.values())
        refuse_large_share(dropped, self.rows, f"rows of {path}", f"{reason} ({_places(found.places)})")

    def _sorted(self) -> list[tuple[str, _Reason]]:
        return sorted(self._reasons.items(), key=lambda item: -item[1].count)


def _places(places: list[tuple[Path, int]]) -> str:
    by_file: dict[Path, list[int]] = {}
    for path, line in places:
        by_file.setdefault(path, []).append(line)
    return "; ".join(f"{path.name} line {', '.join(map(str, lines))}" for path, lines in by_file.items())


def _example(path: Path, line: int) -> dict[str, Any]:
    return {"file": path.name, "line": line}
