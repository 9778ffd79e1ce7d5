"""How answers and refusals are written to HTTP."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from kserve.errors import (
    InferenceError,
    InvalidInput,
    ModelNotFound,
    ModelNotReady,
    ServerNotLive,
    ServerNotReady,
    UnsupportedProtocol,
)
from starlette.exceptions import HTTPException

from components.errors import RankliftError
from predictor.api.request_notes import notes_of
from predictor.api.sentences import refusal_for
from predictor.refusal import RefusalError

_STATUS: dict[type[Exception], int] = {
    InvalidInput: 400,
    ModelNotFound: 404,
    ModelNotReady: 503,
    ServerNotLive: 503,
    ServerNotReady: 503,
    InferenceError: 500,
    UnsupportedProtocol: 400,
    NotImplementedError: 400,  # kserve's answer to a model version in the path
    RankliftError: 500,
}
FAILED = "The server failed to answer; its log has the reason under the request's id."
_ITEMS_AT_ONCE = 256  # embeddings, or anything as long: 2 to 10 ms
_HTTP_SENTENCES = {
    400: "The request body is not valid JSON.",
    404: "There is no route at this path; /docs lists the routes.",
    405: "This path does not accept this method; /docs lists the methods.",
}


class JsonResponse(Response):
    """JSON by orjson: numpy arrays become lists of the shortest numbers that read back the same."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the bytes of the answer."""
        return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


async def rendered(items: Sequence[Any]) -> orjson.Fragment:
    """Return the JSON of a long list, made piece by piece, so that the event loop has others' turns in between."""
    parts = []
    for start in range(0, len(items), _ITEMS_AT_ONCE):
        part = orjson.dumps(items[start : start + _ITEMS_AT_ONCE], option=orjson.OPT_SERIALIZE_NUMPY)
        parts.append(part[1:-1])
        await asyncio.sleep(0)
    return orjson.Fragment(b"[" + b",".join(parts) + b"]")


def refuse(
    request_id: str, path: str, status: int, sentence: str, headers: Mapping[str, str] | None = None
) -> JsonResponse:
    """Return a refusal: OpenAI's shape on its own path, one sentence under ``error`` elsewhere."""
    error: Any = sentence
    if path == "/v1/embeddings":  # KServe's clients read /v1/models/… too, and OpenAI's take either shape there
        kind = "invalid_request_error" if status < 500 else "server_error"
        error = {"message": sentence, "type": kind, "param": None, "code": None}
    return JsonResponse({"error": error, "request_id": request_id}, status, headers)


def add_handlers(app: FastAPI) -> None:
    """Answer every exception with a status and one sentence; kserve's own handlers log tracebacks."""

    async def on_refusal(request: Request, error: Exception) -> Response:
        assert isinstance(error, RefusalError)  # noqa: S101 - the handler is registered for it alone
        return _answer(request, error.status, error.sentence, error.headers)

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
        refusal = refusal_for(error.errors())
        return _answer(request, refusal.status, refusal.sentence)

    async def on_http(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        headers = error.headers if isinstance(error, HTTPException) else None
        return _answer(request, status, _HTTP_SENTENCES.get(status, "The request cannot be answered."), headers)

    async def on_known(request: Request, error: Exception) -> Response:
        status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
        return _answer(request, status, str(error))

    async def on_unknown(request: Request, error: Exception) -> Response:
        # Starlette raises it again after this answer, and the middleware logs it.
        return _answer(request, 500, FAILED, {"Connection": "close"})

    app.add_exception_handler(RefusalError, on_refusal)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    for kind in _STATUS:
        app.add_exception_handler(kind, on_known)
    app.add_exception_handler(Exception, on_unknown)


def _answer(request: Request, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> JsonResponse:
    return refuse(_id(request), request.url.path, status, sentence, headers)


def _id(request: Request) -> str:
    return notes_of(request.scope).request_id
