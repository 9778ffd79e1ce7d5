"""One HTTP connection: deadlines that no byte of the client moves, a bounded share of memory, and HTTP/1.1 throughout.

A connection always waits for somebody. While it waits for the client (a head, a body, the next request, an answer to be
read) a deadline runs that was set when the waiting began; while the client waits for the server there is none.
"""

import asyncio
import logging
import socket
import struct
import uuid
from asyncio import TimerHandle
from typing import Any, cast

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from predictor import metrics
from predictor.http.connections import Connections
from predictor.http.security_headers import SECURITY_HEADERS
from predictor.http.upgrades import head_without_upgrade, new_parser

logger = logging.getLogger("ranklift.requests")

_KEY = "ranklift_connection"
_MAX_LOOSE_BYTES = 1 << 16  # of a head, or of a body's framing and trailers, with nothing usable in between
_MAX_PIPELINED = 16
_DROP_WHAT_IS_UNSENT = struct.pack("ii", 1, 0)


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with deadlines; `Connection.among` makes the class of one server."""

    others: Connections
    head_timeout: float
    write_timeout: float

    is_lost = False
    _request: asyncio.Task[Any] | None = None
    _due: TimerHandle | None = None  # until when a head must have come
    _flush_due: TimerHandle | None = None  # until when the client must have read what was written
    _loose_bytes = 0
    _in_body = False
    _upgrading = False

    @classmethod
    def among(cls, others: Connections, *, head_timeout: float, write_timeout: float) -> Any:
        """Return the class of the connections of one server, which uvicorn makes without arguments of ours."""
        fields = {"others": others, "head_timeout": head_timeout, "write_timeout": write_timeout}
        return type("Protocol", (cls,), fields)

    def connection_made(self, transport: Any) -> None:
        """Expect a first head, unless there are too many connections, all of them with a request in progress."""
        super().connection_made(transport)
        if self.others.admit(self):
            self._expect_head()
        else:
            self._refuse(503, "There are too many connections; try again.")

    def connection_lost(self, exc: Exception | None) -> None:
        """End the work for a client that has left."""
        self.is_lost = True
        self.others.forget(self)
        self._head_came()
        self._flushed()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        self.pipeline.clear()
        if self._request is not None:
            self._request.cancel()

    def begin_request(self) -> None:
        """Remember the running task as the work that ends when the client leaves."""
        self._request = asyncio.current_task()

    def end_request(self) -> None:
        """Forget the running task again; the next request's may have begun."""
        if self._request is asyncio.current_task():
            self._request = None

    def data_received(self, data: bytes) -> None:
        """Read on; a request that asks for another protocol is read again without its asking."""
        rest: bytes | None = data
        while rest and not self.transport.is_closing():
            self._loose_bytes += len(rest)
            rest = self._feed(rest)
            if self._loose_bytes > _MAX_LOOSE_BYTES and (self._due is not None or self._in_body):
                self._refuse(431, "The head or the trailers of the request are too large.")
            if len(self.pipeline) > _MAX_PIPELINED:
                self._refuse(429, "Too many requests were sent before the first was answered.")

    def on_message_begin(self) -> None:
        """Give a request's head its time."""
        self._unset_keepalive_if_required()
        super().on_message_begin()
        cast(dict[str, Any], self.scope)[_KEY] = self
        self._loose_bytes = 0
        if self._due is None:
            self._expect_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers are no headers, and nobody reads them."""
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the request, unless it is to be read again without an upgrade."""
        self._upgrading = self.parser.should_upgrade()
        if self._upgrading:
            return
        self._head_came()
        self._in_body = True
        self._loose_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        self._loose_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """From here on the client waits for the server."""
        if self._upgrading:
            return
        self._in_body = False
        self.others.waits_for_server(self)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """From here on the server waits for the client."""
        super().on_response_complete()
        if self.cycle.response_complete:  # and no other request was sent meanwhile
            self.others.waits_for_client(self)
        if self.transport.is_closing():
            self._expect_flush()

    def pause_writing(self) -> None:
        """Give the client a time to read what it asked for."""
        super().pause_writing()
        self._expect_flush()
        self.others.hold_unread(self, self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Note that the client has read."""
        super().resume_writing()
        self._flushed()
        self.others.release_unread(self)

    def shutdown(self) -> None:
        """Close as soon as the request in progress is answered, and read."""
        super().shutdown()
        if self.transport.is_closing():
            self._expect_flush()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which no request came."""
        self._let_go()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP; `msg` is uvicorn's."""
        self._refuse(400, "The request is not valid HTTP/1.1.")

    def abort(self) -> None:
        """Close at once; what was not read is lost, in the kernel's buffers too."""
        if (connected := self.transport.get_extra_info("socket")) is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP_WHAT_IS_UNSENT)
        self.transport.abort()

    def _feed(self, data: bytes) -> bytes | None:
        """Parse; what is to be parsed again, when the client asked for another protocol."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return self._read_again(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("")
        return None

    def _read_again(self, rest: bytes) -> bytes | None:
        method = self.parser.get_method()
        if method == b"CONNECT":  # asks for a tunnel by its method, which cannot be taken away
            self._refuse(405, "This server is no proxy.")
            return None
        head = head_without_upgrade(method, self.url, self.parser.get_http_version(), self.headers)
        self.parser = new_parser(self)
        self._upgrading = False
        return head + rest

    def _expect_head(self) -> None:
        self._due = self.loop.call_later(self.head_timeout, self._let_go)

    def _head_came(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _expect_flush(self) -> None:
        if self._flush_due is None:
            self._flush_due = self.loop.call_later(self.write_timeout, self.abort)

    def _flushed(self) -> None:
        if self._flush_due is not None:
            self._flush_due.cancel()
            self._flush_due = None

    def _let_go(self) -> None:
        """Close; whoever does not read the last answer either is cut off after its time."""
        if not self.transport.is_closing():
            self.transport.close()
            self._expect_flush()

    def _refuse(self, status: int, sentence: str) -> None:
        """Answer outside the application, for what never became a request, and close."""
        if self.transport.is_closing():
            return
        request_id = uuid.uuid4().hex
        body = orjson.dumps({"error": sentence, "request_id": request_id})
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            (b"x-request-id", request_id.encode("ascii")),
            *SECURITY_HEADERS,
        ]
        head = b"".join(b"%s: %s\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
        metrics.REQUESTS.labels("other", str(status)).inc()
        fields = {"request_id": request_id, "method": "", "route": "other", "status": status, "milliseconds": 0.0}
        logger.info("request", extra={"fields": fields})
        self._let_go()


def connection_of(scope: Any) -> Connection:
    """Return the connection that a request came on."""
    return cast(Connection, scope[_KEY])
