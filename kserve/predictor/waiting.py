"""Texts that wait to be embedded, and which of them are embedded together."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from components.encoder import NO_TOKENS, common_size
from predictor.cache import Embedded
from predictor.fair_queue import Order

_SMALLEST_SHARE = 128  # tokens below which splitting work among streams gains nothing
_SLICE_TEXTS = 32
_SLICE_CHARACTERS = 1 << 15


class Waiting:
    """One text on its way through the queue."""

    __slots__ = ("characters", "deadline", "future", "order", "since", "text", "tokens", "wanted")

    def __init__(self, text: str, deadline: float, future: "asyncio.Future[Embedded]", order: Order) -> None:
        self.text = text
        self.deadline = deadline
        self.future = future
        self.order = order
        self.since = time.monotonic()
        self.tokens = NO_TOKENS  #: once they were made
        self.characters = len(text)
        self.wanted = 1  #: requests that wait for it; the event loop's thread only

    @property
    def length(self) -> int:
        """How many tokens the model reads of it."""
        return len(self.tokens.ids)

    @property
    def has_ended(self) -> bool:
        """Whether nobody waits for it any more, or it is embedded."""
        return self.future.done()

    @property
    def has_failed(self) -> bool:
        """Whether it ended without an embedding: it was left, refused, or the model failed."""
        return self.future.done() and (self.future.cancelled() or self.future.exception() is not None)


class Slice(NamedTuple):
    """Texts of one request that are tokenised together: few enough that the next request's turn comes soon."""

    order: Order
    items: list[Waiting]
    characters: int


def slices(items: Sequence[Waiting]) -> Iterator[Slice]:
    """Cut a request's texts into slices; a text that is longer than a slice is one."""
    part: list[Waiting] = []
    characters = 0
    for item in items:
        size = item.characters
        if part and (len(part) == _SLICE_TEXTS or characters + size > _SLICE_CHARACTERS):
            yield Slice(part[0].order, part, characters)
            part, characters = [], 0
        part.append(item)
        characters += size
    if part:
        yield Slice(part[0].order, part, characters)


def choose_batch(window: Sequence[Waiting], budget: int, streams: int) -> list[Waiting]:
    """The first of the window, and those closest to it in length, within a budget of padded tokens.

    When little waits, the budget is one stream's share of it, so that a lone request uses every stream.
    """
    share = -(-sum(item.length for item in window) // streams)
    budget = min(budget, max(share, _SMALLEST_SHARE))
    length = window[0].length
    batch = [window[0]]
    longest = length
    for item in sorted(window[1:], key=lambda item: abs(item.length - length)):
        longest = max(longest, item.length)
        if longest * (len(batch) + 1) > budget:
            break
        batch.append(item)
    return batch[: common_size(len(batch))]
