"""Batches without duplicates: no text twice in a batch, since one query's positive would be another's negative."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sentence_transformers.base.sampler import DefaultBatchSampler

_PASSES = 3  #: over the examples, to find as many batches as their number promises
_WAITING = 100  #: batches' worth of examples that wait for a batch that has none of their texts; more are left out


class NoDuplicatesBatches(DefaultBatchSampler):
    """Draws batches in which no two examples share a text; sentence-transformers' own sampler, in less memory.

    An example that shares a text with the batch waits for a later one. Four bytes are held for each example, where the
    library's sampler holds a dictionary: 40 MB against 1 GB for ten million.

    Args:
        dataset: the examples.
        keys: of shape (examples, texts): equal texts have equal keys.
        **options: what sentence-transformers' trainer gives a batch sampler.
    """

    def __init__(self, dataset: Any, *, keys: NDArray[np.uint64], **options: Any) -> None:
        super().__init__(dataset, **options)
        self._keys = keys

    def __len__(self) -> int:
        whole, rest = divmod(len(self._keys), self.batch_size)
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
        order = np.arange(len(self._keys), dtype=np.int32)
        chooser.shuffle(order)
        batch, waiting = _Batch(), list[int]()
        for start in range(0, len(order), self.batch_size):
            rows = [*waiting, *order[start : start + self.batch_size].tolist()]
            waiting = batch.take(rows, self._keys, self.batch_size)[-_WAITING * self.batch_size :]
            if len(batch.rows) == self.batch_size:
                yield batch.rows
                batch = _Batch()
        while waiting or len(batch.rows) > 1:
            waiting = batch.take(waiting, self._keys, self.batch_size)
            if len(batch.rows) == self.batch_size or (len(batch.rows) > 1 and not self.drop_last):
                yield batch.rows
            batch = _Batch()


class _Batch:
    """A batch that fills."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self._texts: set[int] = set()

    def take(self, rows: list[int], keys: NDArray[np.uint64], most: int) -> list[int]:
        """Take what shares no text with the batch until it is full; what is left is returned."""
        left = []
        for row in rows:
            if len(self.rows) < most and self._texts.isdisjoint(texts := keys[row].tolist()):
                self.rows.append(row)
                self._texts.update(texts)
            else:
                left.append(row)
        return left
