"""What two index versions answer differently: the queries whose ten best passages changed most, for people to look at.

How much two rankings agree is their average overlap: for every depth from 1 to 10 the share of passages that both have
down to there, averaged. 1 is the same ranking, 0 has no passage in common, and a change at the top weighs most.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from components.errors import DataError
from components.model.encoder import Encoder, comparable
from components.search.reader import NOTHING, Index

DEPTH = 10
_AT_ONCE = 64  # queries


@dataclass(frozen=True)
class Side:
    """An index, and the model that its queries come from."""

    version: str  #: such as "V2"
    index: Index
    encoder: Encoder


class Hit(NamedTuple):
    """One passage of a ranking."""

    id: str
    score: float
    text: str  #: its beginning; empty where the index keeps none
    is_new: bool  #: whether the other index has no such passage


class Change(NamedTuple):
    """One query, and what each index finds for it."""

    query_id: str
    query: str
    agreement: float
    previous: list[Hit]
    new: list[Hit]
    relevant: frozenset[str] = frozenset()  #: passages that were judged to answer the query


class Comparison(NamedTuple):
    """How much two indexes agree, and where they agree least."""

    queries: int
    agreement: float  #: the mean over all queries
    same: int  #: queries whose ranking is the same to the last place
    changes: list[Change]  #: that agree least, the least first


def compare(
    previous: Side,
    new: Side,
    queries: Mapping[str, str],
    relevant: Mapping[str, frozenset[str]] | None = None,
    *,
    most: int = 20,
) -> Comparison:
    """Ask two indexes the same queries; memory holds the changes that are kept, whatever the number of queries.

    Args:
        previous: the index that served, or serves.
        new: the index that serves, or is to.
        queries: texts by their ids.
        relevant: the ids of passages that answer a query, where that is known.
        most: how many changes to keep.

    Raises:
        DataError: when there is no query.
    """
    if not queries:
        raise DataError("There is no query to compare the indexes with; name a dataset or a file that has some.")
    total, same = 0.0, 0
    kept: list[tuple[float, int, Change]] = []
    for number, change in enumerate(_changes(previous, new, queries, relevant or {})):
        total += change.agreement
        same += [hit.id for hit in change.previous] == [hit.id for hit in change.new]
        # The number settles ties: of equal changes the first ones stay, and changes themselves are never compared.
        heapq.heappush(kept, (-change.agreement, -number, change))
        if len(kept) > most:
            heapq.heappop(kept)
    changes = [change for _, _, change in sorted(kept, reverse=True) if change.previous != change.new]
    return Comparison(len(queries), total / len(queries), same, changes)


def agreement(left: Sequence[str], right: Sequence[str], depth: int = DEPTH) -> float:
    """Return the average overlap of two rankings; see the module's own words."""
    deepest = min(depth, max(len(left), len(right)))
    if deepest == 0:
        return 1.0
    overlaps = [len({*left[:place]} & {*right[:place]}) / place for place in range(1, deepest + 1)]
    return sum(overlaps) / deepest


def _changes(
    previous: Side, new: Side, queries: Mapping[str, str], relevant: Mapping[str, frozenset[str]]
) -> Iterator[Change]:
    items = iter(queries.items())
    while batch := list(islice(items, _AT_ONCE)):
        texts = [text for _, text in batch]
        answers = zip(batch, _ask(previous, new.index, texts), _ask(new, previous.index, texts), strict=True)
        for (query_id, text), before, after in answers:
            agreed = agreement([hit.id for hit in before], [hit.id for hit in after])
            yield Change(query_id, text, agreed, before, after, relevant.get(query_id, frozenset()))


def _ask(side: Side, other: Index, queries: Sequence[str]) -> Iterator[list[Hit]]:
    vectors = comparable(side.encoder.encode_queries(queries), side.encoder.config)
    found = side.index.search(vectors, DEPTH)
    for positions, scores in zip(found.positions, found.scores, strict=True):
        kept = positions != NOTHING
        places = positions[kept]
        ids = side.index.ids(places)
        texts = side.index.texts(places) or [""] * len(ids)
        known = set(other.ids(other.positions(ids)))
        yield [
            Hit(name, score, text, name not in known)
            for name, score, text in zip(ids, scores[kept].tolist(), texts, strict=True)
        ]
