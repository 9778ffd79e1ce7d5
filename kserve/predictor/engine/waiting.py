"""Texts that wait to be embedded, the requests that wait for them, and which texts are embedded together."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from components.errors import RankliftError
from components.model.encoder import NO_TOKENS, common_size, padded_length
from predictor.engine.cache import Embedded, Key
from predictor.engine.fair_queue import Order

_SMALLEST_SHARE = 128  # tokens below which splitting work among streams gains nothing
# Tokens of padding in a batch, beyond the step of the lengths. An inference costs about as much as 32 tokens, whatever
# is in it: it reads the weights once. In a simulation of queries and passages of several mixtures 16 was best.
_MOST_PADDING = 16
_SLICE_TEXTS = 32
_SLICE_CHARACTERS = 1 << 15


class EmbeddingError(RankliftError):
    """A text that was not embedded, for a reason that is in the log."""


class Asker:
    """A request that waits for some texts: one future for all of them, as a future for each costs more than a text."""

    __slots__ = ("future", "missing")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.future: asyncio.Future[None] = loop.create_future()
        self.missing = 0

    def one_has_ended(self) -> None:
        """Count a text that is no longer waited for; the last one wakes the request."""
        self.missing -= 1
        if self.missing == 0 and not self.future.done():
            self.future.set_result(None)


class Waiting:
    """One text on its way through the queue. Its outcome and its askers are for the event loop's thread."""

    __slots__ = (
        "askers", "characters", "deadline", "has_ended", "key", "on_end", "order", "outcome", "since", "text", "tokens"
    )  # fmt: skip

    def __init__(self, text: str, deadline: float, order: Order) -> None:
        self.text = text
        self.deadline = deadline
        self.order = order
        self.since = time.monotonic()
        self.tokens = NO_TOKENS  #: once they were made
        self.characters = len(text)
        self.askers: tuple[Asker, ...] = ()  #: requests that wait for it; nearly always the same one as its neighbours
        self.outcome: Embedded | Exception | None = None
        self.has_ended = False  #: there is an outcome, or nobody waits for one any more
        self.key: Key | None = None  #: of the cache, for a document
        self.on_end: Callable[[Waiting], None] | None = None

    @property
    def length(self) -> int:
        """How many tokens the model reads of it."""
        return len(self.tokens.ids)

    def end(self, outcome: Embedded | Exception | None) -> None:
        """Tell whoever waits for it; an outcome of None says that nobody does."""
        self.has_ended = True
        self.outcome = outcome
        if self.on_end is not None:
            self.on_end(self)
        for asker in self.askers:
            asker.one_has_ended()


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
    """Return the first of the window, and those closest to it in length, within a budget of padded tokens.

    When little waits, the budget is one stream's share of it, so that a lone request uses every stream. A text whose
    length would have more padded than another inference costs waits for its like: a query among passages.
    """
    share = -(-sum(padded_length(item.length) for item in window) // streams)
    budget = min(budget, max(share, _SMALLEST_SHARE) + _MOST_PADDING)
    length = window[0].length
    batch = [window[0]]
    longest = unpadded = padded_length(length)
    for item in sorted(window[1:], key=lambda item: abs(item.length - length)):
        own = padded_length(item.length)
        wanted = max(longest, own)
        size = wanted * (len(batch) + 1)
        if size > budget:
            break
        if size - unpadded - own <= _MOST_PADDING:
            batch.append(item)
            longest, unpadded = wanted, unpadded + own
    return batch[: common_size(len(batch))]
