"""What every gRPC call passes: a token where one is asked for, refusals as statuses, metrics, a log line, trailers."""

import asyncio
import hmac
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc import StatusCode, aio
from kserve.errors import InvalidInput, ModelNotFound

from predictor import metrics
from predictor.api.versions import version_headers
from predictor.engine.budgets import Share
from predictor.engine.switchboard import Switchboard
from predictor.grpc.wire_scan import WireScan
from predictor.refusal import ENDING, RefusalError, bad_request, no_room

Method = Callable[[Any, aio.ServicerContext[Any, Any]], Awaitable[Any]]

logger = logging.getLogger("ranklift.requests")

_CODES = {
    401: StatusCode.UNAUTHENTICATED,
    404: StatusCode.NOT_FOUND,
    409: StatusCode.FAILED_PRECONDITION,
    429: StatusCode.RESOURCE_EXHAUSTED,
    503: StatusCode.UNAVAILABLE,
}
_INFER = "/ModelInfer"
_OTHER_FIELDS = 1000  # of a request, beside those of its texts
_SMALL_MESSAGE = 1 << 16  # bytes of a request that brings no texts
_OPEN_METHODS = ("/ServerLive", "/ServerReady", "/grpc.health.v1.Health/Check")
_FAILED = "The server failed to answer; its log has the reason under the call's id."


class Interceptor(aio.ServerInterceptor):
    """Turns exceptions into statuses with one sentence, asks for the bearer token when there is one, and counts."""

    def __init__(self, switchboard: Switchboard) -> None:
        settings = switchboard.settings
        self._switchboard = switchboard
        self._token = settings.api_token.get_secret_value() if settings.api_token else ""
        self._stream_seconds = settings.request_timeout

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """Wrap the method that answers."""
        handler = await continuation(details)
        if handler is None:
            return handler
        is_open = not self._token or details.method.endswith(_OPEN_METHODS)
        if handler.unary_unary is not None:
            method = self._guarded(handler.unary_unary, details.method, is_open, handler.request_deserializer or bytes)
            # The message is read in there, after its call was let in and its size was looked at.
            return grpc.unary_unary_rpc_method_handler(method, None, handler.response_serializer)
        if handler.stream_stream is not None:  # reflection alone
            stream = self._guarded_stream(handler.stream_stream, is_open)
            return grpc.stream_stream_rpc_method_handler(
                stream, handler.request_deserializer, handler.response_serializer
            )
        return handler

    def _guarded(self, method: Method, name: str, is_open: bool, read: Callable[[bytes], Any]) -> Method:
        async def answer(message: bytes, context: aio.ServicerContext[Any, Any]) -> Any:
            started = time.perf_counter()
            call_id = uuid.uuid4().hex
            code = StatusCode.CANCELLED  # what it stays when the client leaves
            self._mark(context, call_id)
            share = self._switchboard.bodies.share()
            try:
                if not is_open:
                    self._check_token(context)
                self._check_message(message, name, share)
                response = await method(read(message), context)
                code = StatusCode.OK
                return response
            except aio.AbortError:
                code = context.code()
                raise
            except ENDING:
                raise
            except BaseException as error:  # noqa: BLE001 - as in the HTTP middleware
                code, sentence = _status_of(error, call_id)
                self._mark(context, call_id, error)
                await context.abort(code, sentence)
            finally:
                share.release()
                _record(name, code, call_id, time.perf_counter() - started)

        return answer

    def _guarded_stream(self, method: Any, is_open: bool) -> Any:
        async def answer(requests: Any, context: aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            if not is_open:
                try:
                    self._check_token(context)
                except RefusalError as refusal:
                    await context.abort(StatusCode.UNAUTHENTICATED, refusal.sentence)
            try:
                async with asyncio.timeout(self._stream_seconds):
                    async for response in method(requests, context):
                        yield response
            except TimeoutError:
                await context.abort(StatusCode.DEADLINE_EXCEEDED, "The call was open for longer than the limit.")

        return answer

    def _check_token(self, context: aio.ServicerContext[Any, Any]) -> None:
        given = dict(context.invocation_metadata() or ()).get("authorization", "")
        if not hmac.compare_digest(str(given).encode(), f"Bearer {self._token}".encode()):
            raise RefusalError(401, "The bearer token is missing or wrong.")

    def _check_message(self, message: bytes, name: str, share: Share) -> None:
        """Refuse a message that does not fit in, or that would take long to read."""
        settings = self._switchboard.settings
        if not share.grow(len(message)):
            raise no_room("bytes", "max_buffered_bytes", settings.max_buffered_bytes)
        if name.endswith(_INFER):
            WireScan(message, 4 * settings.max_documents + _OTHER_FIELDS).check_infer_request()
        elif len(message) > _SMALL_MESSAGE:
            raise bad_request(f"The request has {len(message)} bytes where {_SMALL_MESSAGE} are read.")

    def _mark(self, context: aio.ServicerContext[Any, Any], call_id: str, error: BaseException | None = None) -> None:
        """Set the trailers: the call's id, the model in service, and what a refusal carries."""
        marks = {"x-request-id": call_id}
        if self._switchboard.served is not None:
            marks |= version_headers(self._switchboard.served)
        if isinstance(error, RefusalError):
            marks |= error.headers
        context.set_trailing_metadata(tuple((name.lower(), value) for name, value in marks.items()))


def mark_version(context: aio.ServicerContext[Any, Any], served: Any) -> None:
    """Name the model that answered this call, where another may be in service by the time that it ends."""
    kept = {name: value for name, value in context.trailing_metadata() or ()}
    marks = kept | {name.lower(): value for name, value in version_headers(served).items()}
    context.set_trailing_metadata(tuple(marks.items()))


def _status_of(error: BaseException, call_id: str) -> tuple[StatusCode, str]:
    """Return the status of a call without an answer."""
    if isinstance(error, RefusalError):
        return _CODES.get(error.status, StatusCode.INVALID_ARGUMENT), error.sentence
    if isinstance(error, ModelNotFound):
        return StatusCode.NOT_FOUND, str(error)
    if isinstance(error, InvalidInput | DecodeError):
        return StatusCode.INVALID_ARGUMENT, "The request is not well-formed for this protocol."
    logger.error("call %s failed", call_id, exc_info=error)
    return StatusCode.INTERNAL, _FAILED


def _record(name: str, code: StatusCode, call_id: str, seconds: float) -> None:
    metrics.REQUESTS.labels(name, code.name).inc()
    metrics.LATENCY.labels(name).observe(seconds)
    fields = {
        "request_id": call_id,
        "method": "gRPC",
        "route": name,
        "status": code.name,
        "milliseconds": round(seconds * 1000, 2),
    }
    logger.info("request", extra={"fields": fields})
