"""Reading a request's body whole, within a size and a time, before anything works on it."""

import asyncio
from collections.abc import AsyncIterator, Mapping

from starlette.types import Message, Receive

from predictor.engine.budgets import Share
from predictor.http.compression import Inflation
from predictor.http.json_scan import MAX_DIGITS, JsonScan
from predictor.http.media_types import media_type
from predictor.refusal import RefusalError, bad_request, invalid, no_room
from predictor.settings import PredictorSettings

Headers = Mapping[bytes, bytes]

BINARY_LENGTH = b"inference-header-content-length"  #: bytes of JSON before a v2 request's binary tensors
_NO_IDS = (
    "Token ids are not accepted, because they belong to another tokenizer, and these are too many to read; send texts "
    "(LangChain: check_embedding_ctx_length=False)."
)


class RequestBody:
    """One body on its way in. What it holds of the process's budget is the caller's to release."""

    def __init__(self, path: str, headers: Headers, settings: PredictorSettings, share: Share) -> None:
        self._path = path
        self._headers = headers
        self._settings = settings
        self._share = share
        self._size = 0

    async def read(self, receive: Receive) -> list[bytes]:
        """Return the plain bytes in pieces, of which some may be empty; none as well when the client has left.

        Raises:
            RefusalError: when the body is too large, late, not of an accepted type, or too deep or large as JSON.
        """
        limit = self._settings.max_body_bytes
        stated = self._headers.get(b"content-length", b"0")
        if stated.isdigit() and int(stated) > limit:
            raise _too_large(limit)
        seconds = self._settings.body_timeout
        try:
            async with asyncio.timeout(seconds):
                return await self._collect(receive)
        except TimeoutError:
            raise RefusalError(408, f"The request did not arrive completely within {seconds:g} s, the limit.") from None

    async def _collect(self, receive: Receive) -> list[bytes]:
        parts: list[bytes] = []
        scan: JsonScan | None = None
        encoding = self._headers.get(b"content-encoding", b"").strip().lower()
        inflation = Inflation(encoding) if encoding not in {b"", b"identity"} else None
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return []  # the client is gone; nobody reads the answer
            more = message.get("more_body", False)
            async for piece in _pieces(message, inflation):
                if piece:
                    scan = scan or self._scan()
                    self._take(piece, scan)
                parts.append(piece)
        if inflation is not None and parts:
            inflation.check_end()
        return parts

    def _take(self, piece: bytes, scan: JsonScan) -> None:
        json_left = self._json_length() - self._size
        self._size += len(piece)
        if self._size > self._settings.max_body_bytes:
            raise _too_large(self._settings.max_body_bytes)
        if not self._share.grow(len(piece)):
            raise no_room("bytes", "max_buffered_bytes", self._settings.max_buffered_bytes)
        if json_left > 0 and not scan.feed(piece[:json_left]):
            raise self._unreadable(scan)

    def _json_length(self) -> int:
        """Where the JSON ends; what follows are a v2 request's binary tensors."""
        stated = self._headers.get(BINARY_LENGTH, b"")
        is_stated = self._path.endswith("/infer") and stated.isdigit()
        return int(stated[:12]) if is_stated else self._settings.max_body_bytes

    def _scan(self) -> JsonScan:
        """Return what looks at the JSON, once there is a body and its type is supported."""
        kind = media_type(self._headers.get(b"content-type", b""))
        takes_binary = self._path.endswith("/infer")
        if not kind.is_json and not (takes_binary and kind.is_binary):
            also = ", or as application/octet-stream with binary tensors" if takes_binary else ""
            raise RefusalError(
                415,
                "The request's Content-Type is not accepted; send the header Content-Type: application/json "
                f"(any application/*+json in UTF-8, or none){also}.",
                headers={"Accept": "application/json"},
            )
        if kind.is_binary and kind.name and BINARY_LENGTH not in self._headers:
            raise bad_request("A request in application/octet-stream must have Inference-Header-Content-Length.")
        return JsonScan(self._settings.max_nesting, self._settings.max_values)

    def _unreadable(self, scan: JsonScan) -> RefusalError:
        settings = self._settings
        if scan.too_deep:
            limit = settings.max_nesting
            return invalid(f"The JSON is nested deeper than {limit} levels, the limit (--max_nesting sets it).")
        if scan.too_many_digits:
            return invalid(f"The JSON has a number of more than {MAX_DIGITS} digits, the limit.")
        if self._path == "/v1/embeddings":
            return bad_request(_NO_IDS)
        return invalid(f"The JSON has more than {settings.max_values} values, the limit (--max_values sets it).")


async def _pieces(message: Message, inflation: Inflation | None) -> AsyncIterator[bytes]:
    """Yield what a message holds; when that was compressed, others have their turn between its pieces."""
    piece = message.get("body", b"")
    if inflation is None:
        yield piece
        return
    for plain in inflation.feed(piece):
        yield plain
        await asyncio.sleep(0)


def _too_large(limit: int) -> RefusalError:
    return RefusalError(413, f"The request body is larger than {limit} bytes, the limit (--max_body_bytes sets it).")
