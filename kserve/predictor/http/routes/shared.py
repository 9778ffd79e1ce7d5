"""What the routes of every protocol share: the model that answers, texts within the limits, documented refusals."""

import base64
import uuid
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import Depends, Request
from pydantic import BaseModel

from predictor.api.schemas import ErrorResponse
from predictor.engine.cache import Embedded, Vector
from predictor.engine.served import Served
from predictor.engine.switchboard import Switchboard
from predictor.refusal import bad_request

_REASONS = {
    400: "The request body is not JSON, or asks for something that this server does not have.",
    401: "The bearer token is missing or wrong.",
    403: "A page of another site sent the request, and none may.",
    404: "There is no such model, or no index where one is asked for.",
    408: "The request did not arrive in time.",
    409: "Another version of the model is in service than the request demands.",
    413: "The request body is larger than the limit.",
    415: "The request is not sent as JSON.",
    421: "The server listens on loopback, and the Host is not this machine.",
    422: "A field is missing, of the wrong type, or beyond a limit.",
    429: "The queue is full; `Retry-After` says when to retry.",
    503: "Not ready, draining, or not answered in time; `Retry-After` says when to retry.",
}
STATUSES = (400, 401, 403, 404, 408, 409, 413, 415, 421, 422, 429, 503)


def faults(*statuses: int, model: type[BaseModel] = ErrorResponse) -> dict[int | str, dict[str, Any]]:
    """Return the answers that a route documents besides its own; by default, those of a route with a body."""
    return {status: {"model": model, "description": _REASONS[status]} for status in statuses or STATUSES}


async def switchboard_of(request: Request) -> Switchboard:
    """Return the application's switchboard; a coroutine, as FastAPI runs a plain function in a thread."""
    switchboard: Switchboard = request.app.state.switchboard
    return switchboard


Board = Annotated[Switchboard, Depends(switchboard_of)]


def new_id() -> str:
    """Return an id for an answer whose shape has one."""
    return uuid.uuid4().hex


def shortened(served: Served, embedded: Sequence[Embedded], dimensions: int | None) -> list[Vector]:
    """Return the embeddings, at the length that a request asks for.

    Raises:
        RefusalError: 400 for a length that the model was not trained for.
    """
    check_dimensions(served, dimensions)
    if dimensions in {None, served.config.dimension}:
        return [item.vector for item in embedded]
    rows = [item.vector[:dimensions] for item in embedded]
    return list(map(to_length_1, rows)) if served.config.normalized else rows


def check_dimensions(served: Served, dimensions: int | None) -> None:
    """Refuse a length that the model was not trained for; see `shortened`."""
    allowed = [*served.config.matryoshka_dimensions, served.config.dimension]
    if dimensions is None or dimensions in allowed:
        return
    if len(allowed) == 1:
        raise bad_request(f"dimensions must be {allowed[0]}: the model was not trained for shorter embeddings.")
    raise bad_request(f"dimensions must be one of {', '.join(map(str, sorted(set(allowed))))}.")


def as_base64(vector: Vector) -> str:
    """Little-endian float32, as OpenAI and Cohere spell embeddings."""
    return base64.b64encode(vector.astype(np.dtype("<f4")).tobytes()).decode("ascii")


def tokens_of(embedded: Sequence[Embedded]) -> int:
    """How many tokens the model read."""
    return sum(item.tokens for item in embedded)


def to_length_1(vector: Vector) -> Vector:
    """Return the vector, scaled; zeros stay zeros."""
    length = np.float32(np.linalg.norm(vector))
    return vector / length if length > 0 else vector
