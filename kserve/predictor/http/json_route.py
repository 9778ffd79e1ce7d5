"""How a route reads the JSON of its body: by a fast parser, and by Python's where that refuses.

pydantic's parser makes of a body what Python's `json` makes of it, down to whole numbers of any size and to NaN, up to
ten times as fast; but it refuses some of what `json` reads: lone surrogates, a byte order mark, UTF-16. What both
refuse is answered in the words of `json`.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic_core import from_json

_LONG = 1 << 18  # bytes; what is longer takes milliseconds


class JsonRequest(Request):
    """A request whose JSON costs little."""

    async def json(self) -> Any:
        """Return the value of the body.

        Raises:
            ValueError: when it is not JSON.
        """
        body = await self.body()
        try:
            value = from_json(body, cache_strings="none")  # nothing of a request is kept
        except ValueError:
            await others_turn(body)
            value = json.loads(body)
        await others_turn(body)
        return value


class JsonRoute(APIRoute):
    """A route whose requests are `JsonRequest`s."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler of the route."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            return await handle(JsonRequest(request.scope, request.receive))

        return answer


async def others_turn(body: bytes) -> None:
    """Let other requests run between two steps that take milliseconds each, where the body is a long one."""
    if len(body) > _LONG:
        await asyncio.sleep(0)
