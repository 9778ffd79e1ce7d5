"""A proxy between a client and the object store that does to chosen requests what networks and stores do to them."""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

_ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>made by a test</Message></Error>"


class Call(NamedTuple):
    """One request."""

    number: int  #: from 0, in the order of arrival
    method: str
    path: str  #: with the query

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Fault:
    """What happens to a request."""

    status: int = 0  #: answer this without asking the store
    code: str = ""
    lose: str = ""  #: "request": reset before the store sees it; "answer": the store does it, and nobody is told
    cut: bool = False  #: reset in the middle of the answer's body
    shorten: bool = False  #: a good answer, whole by its own length, with half the bytes
    flip: bool = False  #: a good answer with one byte changed
    stall: float = 0.0  #: seconds before the answer
    drip: float = 0.0  #: seconds between every sixteen bytes of the answer's body
    before: Callable[[], None] | None = None  #: done before the store sees the request, which then gets lost
    after: Callable[[], None] | None = None  #: done after the store did it, and nobody is told


Plan = Callable[[Call], Fault | None]


@dataclass
class Proxy:
    """Listens on a free port of loopback while used as a context; `plan` may be changed at any time."""

    upstream: str
    plan: Plan = lambda call: None
    calls: list[Call] = field(default_factory=list)
    tls: ssl.SSLContext | None = None  #: what clients speak to it, when not in the clear
    tell: Callable[[bytes], None] = lambda head: None  #: is told each request's head

    def __enter__(self) -> "Proxy":
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.endpoint = f"{'https' if self.tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._listener.close()

    def reset(self, plan: Plan = lambda call: None) -> None:
        """Forget the calls so far, and follow another plan."""
        self.plan, self.calls = plan, []

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if self.tls:
            try:
                client = self.tls.wrap_socket(client, server_side=True)
            except OSError:  # the client does not trust us
                return
        with client:
            reader = client.makefile("rb")
            while True:
                try:
                    request = _read_message(reader)
                    if request is None or not self._answer(client, *request):
                        return
                except OSError:
                    return

    def _answer(self, client: socket.socket, head: bytes, body: bytes) -> bool:
        """Whether the connection stays open."""
        method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        with self._lock:
            call = Call(len(self.calls), method, path)
            self.calls.append(call)
        self.tell(head)
        fault = self.plan(call) or Fault()
        return self._spoil_request(client, fault) and self._spoil_answer(
            client, fault, self._ask_store(method, head, body)
        )

    def _spoil_request(self, client: socket.socket, fault: Fault) -> bool:
        """Whether the store gets to see the request."""
        if fault.before:
            fault.before()
        if fault.before or fault.lose == "request":
            return _reset(client)
        time.sleep(fault.stall)
        if fault.status:
            client.sendall(_refusal(fault.status, fault.code))
        return not fault.status

    def _spoil_answer(self, client: socket.socket, fault: Fault, answer: tuple[bytes, bytes] | None) -> bool:
        """Whether the connection stays open."""
        if fault.after:
            fault.after()
        if answer is None or fault.after or fault.lose == "answer":
            return _reset(client)
        head, body = answer
        if fault.cut:
            client.sendall(head + body[: len(body) // 2])
            return _reset(client)
        if fault.shorten:
            body = body[: len(body) // 2]
            head = _with_length(head, len(body))
        if fault.flip and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        if fault.drip:
            client.sendall(head)
            for start in range(0, len(body), 16):
                time.sleep(fault.drip)
                client.sendall(body[start : start + 16])
            return True
        client.sendall(head + body)
        return True

    def _ask_store(self, method: str, head: bytes, body: bytes) -> tuple[bytes, bytes] | None:
        url = urlsplit(self.upstream)
        with socket.create_connection((url.hostname, url.port)) as store:
            store.sendall(head + body)
            return _read_message(store.makefile("rb"), bodiless=method == "HEAD")


def _read_message(reader, bodiless: bool = False) -> tuple[bytes, bytes] | None:
    """Head and body of one HTTP message; None at the end of the connection."""
    lines = []
    while (line := reader.readline()) not in (b"\r\n", b""):
        lines.append(line)
    if not lines:
        return None
    head = b"".join([*lines, b"\r\n"])
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
    if b" 100 " in lines[0]:
        return _read_message(reader, bodiless)
    if bodiless or b" 204 " in lines[0]:
        return head, b""
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        body = _read_chunks(reader)
        kept = [line for line in lines if not line.lower().startswith(b"transfer-encoding")]
        return b"".join([*kept, b"Content-Length: %d\r\n\r\n" % len(body)]), body
    length = int(headers.get(b"content-length", b"0"))
    body = reader.read(length)
    return (head, body) if len(body) == length else None  # None: the sender was killed


def _read_chunks(reader) -> bytes:
    body = b""
    while (size := int(reader.readline().split(b";")[0], 16)) > 0:
        body += reader.read(size)
        reader.readline()
    reader.readline()
    return body


def _with_length(head: bytes, length: int) -> bytes:
    lines = [line for line in head.split(b"\r\n") if line and not line.lower().startswith(b"content-length")]
    return b"\r\n".join([*lines, b"Content-Length: %d" % length, b"", b""])


def _refusal(status: int, code: str) -> bytes:
    body = _ERROR.format(code=code).encode()
    return (
        f"HTTP/1.1 {status} Made\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    ).encode() + body


def _reset(client: socket.socket) -> bool:
    # Linger with no time: the close is a RST, not a FIN.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False
