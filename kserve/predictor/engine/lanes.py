"""Two queues: small requests pass the large ones, which still get their share.

A large request holds the streams for seconds, of which its client notices little; to a small one each batch that is
before it is most of its latency. So whatever is small is served at the next batch, and while small requests keep
coming every fourth batch is a large one's.
"""

import time
from collections.abc import Callable
from typing import Generic

from predictor.engine.fair_queue import FairQueue, WorkT

_SMALL_IN_A_ROW = 3  # batches, before it is a large request's turn
_RECENTLY = 2.0  # seconds


class Lanes(Generic[WorkT]):
    """A fair queue of small requests, and one of large ones. Not safe for threads, as `FairQueue`."""

    def __init__(self, quantum: int) -> None:
        self._small: FairQueue[WorkT] = FairQueue(quantum)
        self._large: FairQueue[WorkT] = FairQueue(quantum)
        self._in_a_row = 0
        self._last_small = -_RECENTLY

    def __len__(self) -> int:
        return len(self._small) + len(self._large)

    @property
    def has_small(self) -> bool:
        """Whether a small request waits."""
        return len(self._small) > 0

    @property
    def expects_small(self) -> bool:
        """Whether a small request came a short while ago: the next one should not find a stream busy for long."""
        return time.monotonic() - self._last_small < _RECENTLY

    def add(self, work: WorkT, cost: int) -> None:
        """Queue a piece of work with its request's like."""
        if work.order.is_small:
            self._last_small = time.monotonic()
            self._small.add(work, cost)
        else:
            self._large.add(work, cost)

    def next(self) -> FairQueue[WorkT]:
        """Return the queue whose turn it is; empty only when both are."""
        small_waits, large_waits = len(self._small) > 0, len(self._large) > 0
        if small_waits and not (large_waits and self._in_a_row >= _SMALL_IN_A_ROW):
            self._in_a_row += 1
            return self._small
        self._in_a_row = 0
        return self._large

    def filter(self, keeps: Callable[[WorkT], bool]) -> None:
        """Remove what a condition does not keep."""
        self._small.filter(keeps)
        self._large.filter(keeps)
