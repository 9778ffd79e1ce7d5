"""The gate in front of the application: what every HTTP request passes before and after its route.

It reads the whole body first, within a size and a time, so that a slow or greedy client holds a few buffers and never
a worker; gives each request an id; and writes headers, metrics and one log line.
"""

import asyncio
import hmac
import logging
import re
import time
import uuid
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from predictor import metrics
from predictor.answers import refuse
from predictor.refusal import RefusalError
from predictor.settings import PredictorSettings

logger = logging.getLogger("ranklift.requests")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_OPEN_PATHS = ("/", "/docs", "/openapi.json", "/v2/health/live", "/v2/health/ready")
_OPEN_FOLDERS = ("/page/", "/docs/files/")
_JSON = re.compile(rb"application/(json|[A-Za-z0-9.+-]+\+json)\s*(;.*)?", re.IGNORECASE)
# Strings and what stands between them. Possessive, and matching to the end what nobody closes: whatever quotes a
# hostile body holds, they cost one pass.
_STRINGS = re.compile(rb'(?:"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)[^"\[\]{}]*+)++', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)


class Gate:
    """ASGI middleware; everything but HTTP passes untouched."""

    def __init__(self, app: ASGIApp, settings: PredictorSettings) -> None:
        self.app = app
        self.settings = settings
        self.token = settings.api_token.get_secret_value().encode() if settings.api_token else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        await _Passage(self, scope, receive, send).serve()


class _Passage:
    """One request on its way through the gate."""

    def __init__(self, gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
        self._app = gate.app
        self._settings = gate.settings
        self._token = gate.token
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers = dict(scope["headers"])
        self._status = 0
        self._id = self._request_id()
        scope["ranklift_request_id"] = self._id

    async def serve(self) -> None:
        started = time.perf_counter()
        try:
            self._check_token()
            body = await self._read_body()
            await self._app(self._scope, _replay(body, self._receive), self._send_marked)
        except RefusalError as refusal:
            headers = {**refusal.headers, "Connection": "close"}
            answer = refuse(self._id, self._scope["path"], refusal.status, refusal.sentence, headers)
            await answer(self._scope, self._receive, self._send_marked)
        finally:
            self._record(time.perf_counter() - started)

    def _request_id(self) -> str:
        given = self._headers.get(b"x-request-id", b"")
        return given.decode("ascii") if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex

    def _check_token(self) -> None:
        path = self._scope["path"]
        if not self._token or path in _OPEN_PATHS or path.startswith(_OPEN_FOLDERS):
            return
        given = self._headers.get(b"authorization", b"")
        if not hmac.compare_digest(given, b"Bearer " + self._token):
            raise RefusalError(401, "A bearer token is needed, and was not given or is wrong.")

    async def _read_body(self) -> bytes:
        limit = self._settings.max_body_bytes
        stated = self._headers.get(b"content-length", b"0")
        if stated.isdigit() and int(stated) > limit:
            raise _too_large(limit)
        try:
            async with asyncio.timeout(self._settings.body_timeout):
                body = await self._collect(limit)
        except TimeoutError:
            seconds = self._settings.body_timeout
            raise RefusalError(408, f"The request did not arrive whole within {seconds:g} s, the limit.") from None
        if body:
            self._check_content(body)
        return body

    async def _collect(self, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                return b""  # the client is gone; nobody reads the answer
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise _too_large(limit)
            if not message.get("more_body", False):
                return b"".join(parts)

    def _check_content(self, body: bytes) -> None:
        kind = self._headers.get(b"content-type", b"")
        is_binary = kind == b"application/octet-stream" and self._scope["path"].endswith("/infer")
        if not is_binary and not _JSON.fullmatch(kind):
            raise RefusalError(415, "The request must be sent with the header Content-Type: application/json.")
        limit = self._settings.max_nesting
        if not is_binary and nests_deeper(body, limit):
            raise RefusalError(
                422, f"The JSON is nested deeper than {limit} levels, the limit (--max_nesting sets it)."
            )

    async def _send_marked(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            given = list(message.get("headers", ()))
            names = {name.lower() for name, _ in given}
            added = [header for header in SECURITY_HEADERS if header[0] not in names]
            message["headers"] = [*given, *added, (b"x-request-id", self._id.encode("ascii"))]
        await self._send(message)

    def _record(self, seconds: float) -> None:
        route = getattr(self._scope.get("route"), "path", "other")
        metrics.REQUESTS.labels(route, str(self._status)).inc()
        metrics.LATENCY.labels(route).observe(seconds)
        fields: dict[str, Any] = {
            "request_id": self._id,
            "method": self._scope["method"],
            "route": route,
            "status": self._status,
            "milliseconds": round(seconds * 1000, 2),
        }
        logger.info("request", extra={"fields": fields})


def nests_deeper(body: bytes, limit: int) -> bool:
    """Whether brackets and braces of a JSON text nest deeper than `limit`; those in strings do not count."""
    if body.count(b"[") + body.count(b"{") <= limit:
        return False
    depth = 0
    for byte in _STRINGS.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        if depth > limit:
            return True
    return False


def _too_large(limit: int) -> RefusalError:
    return RefusalError(413, f"The request body is larger than {limit} bytes, the limit (--max_body_bytes sets it).")


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
