"""TREC run files: rankings in the form that every other evaluation tool reads."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from components.errors import DataError
from components.evaluate.search import Ranking


class RunFile:
    """Writes ``query_id Q0 passage_id rank score tag``, one line a passage, best first."""

    def __init__(self, path: Path, tag: str) -> None:
        self._path = path
        self._tag = quote(tag, safe="/@:+=") or "ranklift"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def add(self, rankings: Mapping[str, Ranking]) -> None:
        """Write the rankings of some queries.

        Raises:
            DataError: when an id holds white space, which the format has no way to write.
        """
        for query_id, ranking in rankings.items():
            for rank, (passage_id, score) in enumerate(ranking, start=1):
                self._check(query_id, passage_id)
                # Nine digits bring back the same float32, so that ties stay ties and others stay apart.
                self._stream.write(f"{query_id} Q0 {passage_id} {rank} {score:.9g} {self._tag}\n")

    def _check(self, *ids: str) -> None:
        for name in ids:
            if name.split() != [name]:
                raise DataError(
                    f"{self._path} cannot hold the id {name!r}: a TREC run file separates its columns by white space; "
                    "leave the run file out, or use ids such as 'q_1'."
                )
