"""A queue that is fair between requests: a large one takes its turns, a small one is done in its first.

Each request may have a quantum of work done in a turn, then it is the others' turn. Requests that fit into a quantum
are served in the order in which they came.
"""

from bisect import insort
from collections.abc import Callable, Iterable
from itertools import count
from typing import Generic, Protocol, TypeVar


class Order:
    """What one request has had queued so far; every piece of its work is queued with it."""

    __slots__ = ("end", "is_small")

    def __init__(self, *, is_small: bool = False) -> None:
        self.is_small = is_small  #: whether all of it is about one batch
        self.end = 0  #: of its work so far, on a clock that runs by a quantum a turn


class Work(Protocol):
    """What can be queued."""

    @property
    def order(self) -> Order:
        """The request that it is of."""
        ...


WorkT = TypeVar("WorkT", bound=Work)


class FairQueue(Generic[WorkT]):
    """Work in the order of its turns. Not safe for threads: whoever shares one holds a lock."""

    def __init__(self, quantum: int) -> None:
        """`quantum` is the work of a turn, in whatever `add` counts."""
        self._quantum = quantum
        self._now = 0
        self._numbers = count()
        self._waiting: list[tuple[int, int, WorkT]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, work: WorkT, cost: int) -> None:
        """Queue a piece of work."""
        order = work.order
        start = max(order.end, self._now * self._quantum)
        order.end = start + cost
        # The number makes entries of a turn keep their order, and no two of them equal.
        insort(self._waiting, (start // self._quantum, next(self._numbers), work))

    def first(self, most: int) -> list[WorkT]:
        """Return the next pieces of work, which stay queued."""
        return [work for _, _, work in self._waiting[:most]]

    def pop(self) -> WorkT:
        """Remove the next piece of work."""
        self._now, _, work = self._waiting.pop(0)
        return work

    def take(self, taken: Iterable[WorkT]) -> None:
        """Remove pieces of work that `first` showed; whose turn it is, is told by the first of all."""
        if self._waiting:
            self._now = self._waiting[0][0]
        ids = set(map(id, taken))
        self._waiting = [entry for entry in self._waiting if id(entry[2]) not in ids]

    def filter(self, keeps: Callable[[WorkT], bool]) -> list[WorkT]:
        """Remove and return what a condition does not keep."""
        removed = [work for _, _, work in self._waiting if not keeps(work)]
        if removed:
            self._waiting = [entry for entry in self._waiting if keeps(entry[2])]
        return removed
