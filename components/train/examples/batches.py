"""Batches without duplicates: no text twice in a batch, since one query's positive would be another's negative."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sentence_transformers.base.sampler import DefaultBatchSampler

_PASSES = 3  #: over the examples, to find as many batches as their number promises
_WAITING = 100  #: batches' worth of examples that wait for a batch that has none of their texts; more are left out

_Row = tuple[int, list[int]]  #: and the keys of its texts


class NoDuplicatesBatches(DefaultBatchSampler):
    """Draws batches in which no two examples share a text; sentence-transformers' own sampler, in less memory.

    An example that shares a text with the batch waits for a later one. Four bytes are held for each example, where the
    library's sampler holds a dictionary: 40 MB against 1 GB for ten million.

    Args:
        dataset: the examples.
        keys: of rows, of shape (rows, texts): equal texts have equal keys.
        **options: what sentence-transformers' trainer gives a batch sampler.
    """

    def __init__(self, dataset: Any, *, keys: Callable[[Sequence[int]], NDArray[np.uint64]], **options: Any) -> None:
        super().__init__(dataset, **options)
        self._count, self._keys = len(dataset), keys

    def __len__(self) -> int:
        whole, rest = divmod(self._count, self.batch_size)
        return whole + (rest > 1 and not self.drop_last)

    def __iter__(self) -> Iterator[list[int]]:
        chooser = np.random.default_rng((self.seed, self.epoch))
        left = len(self)
        for _ in range(_PASSES):
            for batch in self._batches(chooser):
                yield batch
                left -= 1
                if not left:
                    return

    def _batches(self, chooser: np.random.Generator) -> Iterator[list[int]]:
        order = np.arange(self._count, dtype=np.int32)
        chooser.shuffle(order)
        batch, waiting = _Batch(), list[_Row]()
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size].tolist()
            next_ones = zip(rows, self._keys(rows).tolist(), strict=True)
            waiting = batch.take([*waiting, *next_ones], self.batch_size)[-_WAITING * self.batch_size :]
            if len(batch.rows) == self.batch_size:
                yield batch.rows
                batch = _Batch()
        while waiting or len(batch.rows) > 1:
            waiting = batch.take(waiting, self.batch_size)
            if len(batch.rows) == self.batch_size or (len(batch.rows) > 1 and not self.drop_last):
                yield batch.rows
            batch = _Batch()


class _Batch:
    """A batch that fills."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self._texts: set[int] = set()

    def take(self, rows: Iterable[_Row], most: int) -> list[_Row]:
        """Take what shares no text with the batch until it is full; what is left is returned."""
        left = []
        for row, texts in rows:
            if len(self.rows) < most and self._texts.isdisjoint(texts):
                self.rows.append(row)
                self._texts.update(texts)
            else:
                left.append((row, texts))
        return left
