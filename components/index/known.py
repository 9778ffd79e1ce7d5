"""The texts of the previous index by their content hash: on disk, so that memory does not grow with that index."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.search.shard import HASH_BYTES, Hashes

_ROWS = 1 << 19  # hashes in a table: 12 MB
_UNKNOWN = -1

Positions = NDArray[np.int64]


class KnownTexts:
    """Finds the positions that texts have in the previous index.

    Hashes lie in tables that are sorted by the first half of each and mapped while they are searched.

    Args:
        hashes: block by block in order of the positions.
        folder: an existing folder for the tables.
    """

    def __init__(self, hashes: Iterable[Hashes], folder: Path) -> None:
        self._tables: list[Path] = []
        first = 0
        for block in _blocks(hashes):
            path = folder / f"known-{len(self._tables)}.npy"
            np.save(path, _table(block, first))
            self._tables.append(path)
            first += len(block)

    def positions(self, digests: Sequence[bytes]) -> Positions:
        """Return for each SHA-256 of a text the first position that has the text, -1 where none has it."""
        found = np.full(len(digests), _UNKNOWN, dtype=np.int64)
        if not self._tables:
            return found
        wanted = _halves(np.frombuffer(b"".join(digest[:HASH_BYTES] for digest in digests), dtype=np.uint8))
        order = np.argsort(wanted[:, 0])
        wanted = wanted[order]
        for path in reversed(self._tables):  # of two positions the first one stays
            places = _find(np.load(path, mmap_mode="r"), wanted)
            is_known = places != _UNKNOWN
            found[order[is_known]] = places[is_known]
        return found


def _blocks(hashes: Iterable[Hashes]) -> Iterator[Hashes]:
    """Yield hashes in blocks of at most `_ROWS`."""
    gathered: list[Hashes] = []
    for block in hashes:
        if gathered and sum(map(len, gathered)) + len(block) > _ROWS:
            yield np.concatenate(gathered)
            gathered = []
        gathered.append(np.array(block))  # a copy: the previous index's pages go back
    if gathered:
        yield np.concatenate(gathered)


def _halves(hashes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(hashes).view(np.uint64).reshape(-1, 2)


def _table(hashes: Hashes, first: int) -> NDArray[np.uint64]:
    """Return rows of both halves of a hash and its position, sorted by the first half and then by position."""
    halves = _halves(hashes)
    order = np.argsort(halves[:, 0], kind="stable")
    return np.column_stack([halves[order], (order + first).astype(np.uint64)])


def _find(table: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> Positions:
    # Two hashes with the same first half and different second ones: the later one is taken for unknown, and embedded.
    rows = np.minimum(np.searchsorted(table[:, 0], wanted[:, 0]), len(table) - 1)
    is_same = (table[rows, :2] == wanted).all(axis=1)
    return np.where(is_same, table[rows, 2].astype(np.int64), _UNKNOWN)
