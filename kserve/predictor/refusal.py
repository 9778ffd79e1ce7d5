"""Why a request is not answered: a status, one sentence, and when to come back."""

import asyncio
import math
from collections.abc import Mapping

#: Errors that end the request or the process, and are never answered.
ENDING = (asyncio.CancelledError, KeyboardInterrupt, SystemExit)


class RefusalError(Exception):
    """A request that is not answered; `sentence` says why, and never repeats a text of the request."""

    def __init__(
        self,
        status: int,
        sentence: str,
        *,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.retry_after = retry_after
        self._headers = dict(headers or {})

    @property
    def headers(self) -> dict[str, str]:
        """``Retry-After`` in whole seconds, at least 1, where coming back helps, and what else the answer carries."""
        if self.retry_after is None:
            return dict(self._headers)
        return {**self._headers, "Retry-After": str(max(1, math.ceil(self.retry_after)))}


def invalid(sentence: str) -> RefusalError:
    """Return the refusal of well-formed JSON that cannot be answered."""
    return RefusalError(422, sentence)


def overloaded(waiting: int, limit: int, what: str, seconds: float) -> RefusalError:
    """Return the queue is full."""
    pause = max(1, math.ceil(seconds))
    sentence = (
        f"The queue has no room for this request: {waiting} {what} are waiting where {limit} may, and a request may "
        f"take half of what is left; try again in {pause} s."
    )
    return RefusalError(429, sentence, retry_after=pause)


def timed_out(limit: float) -> RefusalError:
    """Return the deadline passed while the request waited."""
    return RefusalError(503, f"The request was not answered within {limit:g} s, the limit; try again.", retry_after=1)


def unavailable(reason: str) -> RefusalError:
    """Return the server cannot answer now."""
    return RefusalError(503, reason, retry_after=1)


def bad_request(sentence: str) -> RefusalError:
    """Return the request is not well-formed for its protocol."""
    return RefusalError(400, sentence)


def no_room(what: str, setting: str, limit: int) -> RefusalError:
    """Return the requests of the process hold as much as they may together."""
    return RefusalError(
        503, f"The requests in progress hold too many {what} together, of {limit} (--{setting}); try again.",
        retry_after=1,
    )  # fmt: skip
