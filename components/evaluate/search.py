"""Exact top-k search over a streamed corpus, in bounded memory, with trec_eval's order."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Positions = NDArray[np.int32]
Block = tuple[Sequence[str], NDArray[np.float32]]  #: passage ids, and their embeddings (passages, dimension)
Ranking = list[tuple[str, float]]  #: (passage_id, score), best first

#: Scores in one piece of work: 32 MiB of float32, and a few times that while they are merged.
_SCORES_AT_ONCE = 1 << 23
_NOTHING = np.float32(-np.inf)


def search(queries: NDArray[np.float32], corpus: Iterable[Block], depth: int) -> Iterator[Ranking]:
    """Return the `depth` best passages for every query by inner product, in the order of `queries`.

    Nothing is approximated: every passage is scored against every query. Equal scores are ordered as trec_eval orders
    them, by descending passage id, also where the ranking is cut. Memory is 8 bytes for each query and place of its
    ranking, the ids of the corpus, and one block.

    Args:
        queries: float32 of shape (queries, dimension), finite.
        corpus: the passages in blocks, in any order, finite.
        depth: length of a ranking, at least 1.
    """
    best = TopK(len(queries), depth)
    for ids, passages in corpus:
        best.begin(ids)
        step = max(1, _SCORES_AT_ONCE // max(1, len(ids)))
        for start in range(0, len(queries), step):
            rows = slice(start, start + step)
            best.add(rows, queries[rows] @ passages.T)
    return best.rankings()


class TopK:
    """The best passages so far: one row for each query in descending order of score, padded with minus infinity."""

    def __init__(self, queries: int, depth: int) -> None:
        self._ids: list[str] = []
        self._first = 0
        self._scores: Scores = np.full((queries, depth), _NOTHING, dtype=np.float32)
        self._positions: Positions = np.zeros((queries, depth), dtype=np.int32)

    def begin(self, ids: Sequence[str]) -> None:
        """Begin a block of the corpus."""
        self._first = len(self._ids)
        self._ids.extend(ids)

    def add(self, rows: slice, scores: Scores) -> None:
        """Merge the scores of the block, (queries, passages), into some rows."""
        found, columns = _candidates(scores, self._scores[rows])
        if found.shape[1] == 0:
            return
        merged = np.concatenate([self._scores[rows], found], axis=1)
        positions = np.concatenate([self._positions[rows], columns + np.int32(self._first)], axis=1)
        order = np.argsort(-merged, axis=1, kind="stable")
        merged = np.take_along_axis(merged, order, axis=1)
        positions = np.take_along_axis(positions, order, axis=1)
        self._settle_ties_at_the_cut(merged, positions)
        depth = self._scores.shape[1]
        self._scores[rows], self._positions[rows] = merged[:, :depth], positions[:, :depth]

    def rankings(self) -> Iterator[Ranking]:
        """One ranking for each row: by descending score, then descending passage id."""
        tied = (self._scores[:, 1:] == self._scores[:, :-1]).any(axis=1)
        for row, scores in enumerate(self._scores):
            found = int(np.count_nonzero(scores > _NOTHING))
            names = (self._ids[position] for position in self._positions[row, :found].tolist())
            ranking = list(zip(names, scores[:found].tolist(), strict=True))
            if tied[row]:
                ranking.sort(key=lambda pair: (pair[1], pair[0]), reverse=True)
            yield ranking

    def _settle_ties_at_the_cut(self, scores: Scores, positions: Positions) -> None:
        """Where the last place of a row and the first one beyond it are tied, put the larger ids first."""
        last = scores[:, self._scores.shape[1] - 1]
        beyond = scores[:, self._scores.shape[1]]
        for row in np.flatnonzero((last == beyond) & (last > _NOTHING)):
            tied = np.flatnonzero(scores[row] == last[row])
            positions[row, tied] = sorted(positions[row, tied].tolist(), key=self._ids.__getitem__, reverse=True)


def _candidates(scores: Scores, held: Scores) -> tuple[Scores, Positions]:
    """Return the entries of a block that may enter a row, and their columns: rectangular, padded with minus infinity.

    An entry may enter when it reaches the last held score; a tie may still win by its id.
    """
    depth = held.shape[1]
    floor = held[:, -1]
    keep = scores >= floor[:, None]
    if scores.shape[1] > depth and int(np.count_nonzero(keep, axis=1).max(initial=0)) > 2 * depth:
        cut = scores.shape[1] - depth
        keep = scores >= np.maximum(floor, np.partition(scores, cut, axis=1)[:, cut])[:, None]
    counts = np.count_nonzero(keep, axis=1)
    rows, columns = np.nonzero(keep)
    slots = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (len(scores), int(counts.max(initial=0)))
    found = np.full(shape, _NOTHING, dtype=np.float32)
    places = np.zeros(shape, dtype=np.int32)
    found[rows, slots] = scores[rows, columns]
    places[rows, slots] = columns
    return found, places
