"""Judgements that point nowhere: dropped and counted where they are few, as in published collections."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from components.dataset.beir import BeirFolder, Query
from components.dataset.dropped_share import refuse_large_share
from components.dataset.manifest import Rule
from components.dataset.qrels import Judgement

_EXAMPLES = 3


class JudgementCheck:
    """Holds the judgements of a split against the passages and queries of its collection.

    Args:
        folder: the collection.
        qrels: the file that the judgements are from.
    """

    def __init__(self, folder: BeirFolder, qrels: Path) -> None:
        self._folder, self._qrels = folder, qrels
        self._dropped: dict[str, list[Judgement]] = {}

    def usable(
        self,
        judgements: Collection[Judgement],
        *,
        known: Collection[str],
        empty: Collection[str],
        queries: Mapping[str, Query],
    ) -> list[Judgement]:
        """Return the judgements whose query and passage are there and have a text.

        Args:
            judgements: all of the split.
            known: ids of the passages that have a text.
            empty: ids of the passages that have none.
            queries: the judged queries.

        Raises:
            DataError: when more than a twentieth cannot be used; says what is missing, and where.
        """
        kept = []
        for judgement in judgements:
            query = queries.get(judgement.query_id)
            reason = self._reason(judgement, query, known, empty)
            if reason:
                self._dropped.setdefault(reason, []).append(judgement)
            else:
                kept.append(judgement)
        if self._dropped:
            advice = self._advice(judgements, known)
            refuse_large_share(len(judgements) - len(kept), len(judgements), f"judgements of {self._qrels}", advice)
        return kept

    def rules(self) -> list[Rule]:
        """Return what was dropped, by reason."""
        return [
            Rule(
                name=reason.partition(",")[0].replace(" ", "_"),
                description=f"{reason} ({self._qrels.name} row {_rows(found)})",
                dropped=len(found),
                examples=[{"query_id": row.query_id, "passage_id": row.passage_id} for row in found[:_EXAMPLES]],
            )
            for reason, found in self._dropped.items()
        ]

    def _reason(
        self, judgement: Judgement, query: Query | None, known: Collection[str], empty: Collection[str]
    ) -> str | None:
        if query is None:
            return f"judgements of missing queries, which {self._folder.queries[0].name} does not have"
        if not query.text:
            return "judgements of empty queries"
        if judgement.passage_id in empty:
            return "judgements of empty passages"
        if judgement.passage_id not in known:
            return f"judgements of missing passages, which {self._folder.corpus.name} does not have"
        return None

    def _advice(self, judgements: Collection[Judgement], known: Collection[str]) -> str:
        """Return the most frequent reason with an example, and what it looks like."""
        reason, found = max(self._dropped.items(), key=lambda item: len(item[1]))
        column, value = _pointer(reason, found[0])
        example = f"{reason}, such as row {found[0].row}, column {column!r}: {value!r}"
        swapped = sum(judgement.query_id in known for judgement in judgements)
        if 2 * swapped > len(judgements):
            return f"{example}; its columns look swapped: name them in a header, query-id<TAB>corpus-id<TAB>score"
        if " " in value:
            return f"{example}; that is a text where an id belongs"
        return f"{example}; remove such rows or add what they point to"


def _pointer(reason: str, judgement: Judgement) -> tuple[str, str]:
    return ("query-id", judgement.query_id) if "queries" in reason else ("corpus-id", judgement.passage_id)


def _rows(found: Iterable[Judgement]) -> str:
    return ", ".join(str(judgement.row) for judgement in list(found)[:_EXAMPLES])
