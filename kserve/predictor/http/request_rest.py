"""The rest of a request that is refused before its body has come whole.

A server that closes while its client still sends makes the kernel drop the answer: the client sees a connection that
was reset, and not the 413 that says why. So what comes is read for a moment, and forgotten.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from starlette.types import Message, Receive

_SECONDS = 1.0
_PAUSE = 0.05  # between two pieces of what a busy server does not want; a client that floods it is held up


class NotingEnd:
    """The messages of a request, and whether its body has ended."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.has_ended = False

    async def __call__(self) -> Message:
        """Return the next message."""
        message = await self._receive()
        self.has_ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message


async def discard_rest(receive: NotingEnd, headers: Mapping[bytes, bytes], *, slowly: bool) -> None:
    """Read what is left of a body for at most a second; nothing where the client waits to be told to send it."""
    if b"expect" in headers:
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(_SECONDS):
            while not receive.has_ended:
                await receive()
                if slowly:
                    await asyncio.sleep(_PAUSE)
