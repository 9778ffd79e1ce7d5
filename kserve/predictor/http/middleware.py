"""What every HTTP request passes before and after its route.

It reads the whole body first, within a size and a time, so that a slow or greedy client holds a few buffers and never
a worker; gives each request an id; ends the work for a client that has left; and writes headers, metrics and one log
line, for an answer, a refusal and a failure alike.
"""

import asyncio
import hmac
import logging
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from predictor import metrics
from predictor.api.request_notes import RequestNotes
from predictor.api.versions import asgi_version_headers
from predictor.engine.switchboard import Switchboard
from predictor.http.connection import connection_of
from predictor.http.media_types import media_type
from predictor.http.origin import OriginCheck
from predictor.http.request_body import RequestBody
from predictor.http.request_rest import NotingEnd, discard_rest
from predictor.http.responses import FAILED, refuse
from predictor.http.security_headers import missing_from
from predictor.refusal import ENDING, RefusalError

logger = logging.getLogger("ranklift.requests")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_OPEN_PATHS = ("/", "/docs", "/openapi.json", "/health", "/v2/health/live", "/v2/health/ready")
_OPEN_FOLDERS = ("/page/", "/docs/files/")
_CLIENT_LEFT = 499  # as proxies log it; nobody reads this answer


class RequestMiddleware:
    """ASGI middleware; everything but HTTP passes untouched."""

    def __init__(self, app: ASGIApp, switchboard: Switchboard) -> None:
        settings = switchboard.settings
        self.app = app
        self.switchboard = switchboard
        self.settings = settings
        self.token = settings.api_token.get_secret_value().encode() if settings.api_token else b""
        self.origin = OriginCheck(settings.host, settings.allowed_hosts, settings.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        await _Exchange(self, scope, receive, send).serve()


class _Exchange:
    """One request and its answer."""

    def __init__(self, middleware: RequestMiddleware, scope: Scope, receive: Receive, send: Send) -> None:
        self._middleware = middleware
        self._settings = middleware.settings
        self._method: str = scope["method"]
        # A copy: the server leaves the body of an answer to HEAD out by the method in its own.
        self._scope = {**scope, "method": "GET" if self._method == "HEAD" else self._method}
        self._receive = NotingEnd(receive)
        self._send = send
        self._headers = dict(scope["headers"])
        self._share = middleware.switchboard.bodies.share()
        self._status = 0
        self._notes = RequestNotes(self._request_id())
        self._notes.put_into(self._scope)

    async def serve(self) -> None:
        started = time.perf_counter()
        connection = connection_of(self._scope)
        try:
            with self._recorded(started):
                connection.begin_request()
                await self._answer_or_refuse()
        except asyncio.CancelledError:
            if not connection.is_lost and self._status == 0:  # the drain timeout has passed
                await self._refuse(503, "The server is stopping; try again.", {"Connection": "close"})
        finally:
            connection.end_request()
            self._share.release()

    async def _answer_or_refuse(self) -> None:
        try:
            await self._answer()
        except RefusalError as refusal:
            await discard_rest(self._receive, self._headers, slowly=refusal.status == 503)
            await self._refuse(refusal.status, refusal.sentence, {**refusal.headers, "Connection": "close"})
        except ENDING:
            raise
        except BaseException as error:
            logger.error("request %s failed", self._notes.request_id, exc_info=error)
            if self._status == 0:
                await self._refuse(500, FAILED, {"Connection": "close"})
            elif self._status < 500:
                raise  # half an answer is out: only closing the connection says so

    async def _answer(self) -> None:
        self._middleware.origin.check(self._method, self._headers)
        self._check_token()
        pieces = await RequestBody(self._scope["path"], self._headers, self._settings, self._share).read(self._receive)
        self._make_headers_canonical(has_body=any(pieces))
        await self._middleware.app(self._scope, _replay(pieces, self._receive), self._send_marked)

    async def _refuse(self, status: int, sentence: str, headers: dict[str, str]) -> None:
        answer = refuse(self._notes.request_id, self._scope["path"], status, sentence, headers)
        await answer(self._scope, self._receive, self._send_marked)

    def _request_id(self) -> str:
        given = self._headers.get(b"x-request-id", b"")
        return given.decode("ascii") if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex

    def _check_token(self) -> None:
        path, token = self._scope["path"], self._middleware.token
        if not token or path in _OPEN_PATHS or path.startswith(_OPEN_FOLDERS):
            return
        given = self._headers.get(b"authorization", b"")
        if not hmac.compare_digest(given, b"Bearer " + token):
            raise RefusalError(401, "The bearer token is missing or wrong.")

    def _make_headers_canonical(self, *, has_body: bool) -> None:
        """Spell the body's type as the libraries behind compare it; what was compressed is plain now."""
        hidden = {b"content-encoding", b"content-length", b"transfer-encoding"}
        kept = [(name, value) for name, value in self._scope["headers"] if name not in hidden]
        if has_body:
            kept = [header for header in kept if header[0] != b"content-type"]
            kept.append((b"content-type", media_type(self._headers.get(b"content-type", b"")).canonical))
        self._scope["headers"] = kept

    async def _send_marked(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            given = list(message.get("headers", ()))
            message["headers"] = [*given, *missing_from(given), *self._marks()]
        await self._send(message)

    def _marks(self) -> Iterator[tuple[bytes, bytes]]:
        yield b"x-request-id", self._notes.request_id.encode("ascii")
        served = self._notes.served or self._middleware.switchboard.served
        if served is not None:
            yield from asgi_version_headers(served)

    @contextmanager
    def _recorded(self, started: float) -> Iterator[None]:
        try:
            yield
        finally:
            self._record(time.perf_counter() - started)

    def _record(self, seconds: float) -> None:
        route = getattr(self._scope.get("route"), "path", "other")
        status = self._status or _CLIENT_LEFT
        metrics.REQUESTS.labels(route, str(status)).inc()
        metrics.LATENCY.labels(route).observe(seconds)
        fields: dict[str, Any] = {
            "request_id": self._notes.request_id,
            "method": self._method,
            "route": route,
            "status": status,
            "milliseconds": round(seconds * 1000, 2),
        }
        logger.info("request", extra={"fields": fields})


def _replay(pieces: list[bytes], receive: Receive) -> Receive:
    """Return what gives the application the body as it came: it joins the pieces, which costs it once."""
    waiting = [b"", *reversed(pieces)]

    async def replay() -> Message:
        if not waiting:
            return await receive()
        return {"type": "http.request", "body": waiting.pop(), "more_body": bool(waiting)}

    return replay
