"""Requests that ask for another protocol (h2c, websocket) are HTTP/1.1 requests, and are answered as such.

A server may ignore an Upgrade header (RFC 9110, 7.8), and this one always does. llhttp stops at such a head and takes
the body for the other protocol's, so that the request has to be parsed again, with nothing in it that asks.
"""

from collections.abc import Iterable
from typing import Any

import httptools

_ASKING = {b"upgrade", b"http2-settings"}


def head_without_upgrade(method: bytes, url: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the head of a request, as it was parsed, without the headers that ask for another protocol."""
    lines = [b"%s %s HTTP/%s" % (method, url, version.encode("ascii"))]
    for name, value in headers:
        if name in _ASKING:
            continue
        kept = _without_asking(value) if name == b"connection" else value
        if kept:
            lines.append(b"%s: %s" % (name, kept))
    return b"\r\n".join([*lines, b"", b""])


def new_parser(protocol: Any) -> httptools.HttpRequestParser:
    """Return a parser set up as uvicorn sets up its own."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _without_asking(connection: bytes) -> bytes:
    tokens = (token.strip() for token in connection.split(b","))
    return b", ".join(token for token in tokens if token.lower() not in _ASKING)
