"""The end of a port forward that Kubernetes has: a websocket (v4.channel.k8s.io), copied to a socket of this machine.

Two channels for the port, data and error; each begins with the port's number, as the kubelet sends it.
"""

import base64
import hashlib
import socket
import struct
import threading
from contextlib import suppress
from typing import Any

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def serve(handler: Any, port: int, target: tuple[str, int] | str) -> None:
    """Answer a handler's request with a websocket to `target`, or with what the kubelet says when there is none."""
    assert handler.headers["Upgrade"] == "websocket"
    assert handler.headers["Sec-WebSocket-Protocol"] == "v4.channel.k8s.io"
    handler.close_connection = True
    accept = base64.b64encode(_sha1(handler.headers["Sec-WebSocket-Key"].encode() + _MAGIC)).decode()
    lines = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}",
             "Sec-WebSocket-Protocol: v4.channel.k8s.io", "", "")  # fmt: skip
    handler.wfile.write(("HTTP/1.1 101 Switching Protocols\r\n" + "\r\n".join(lines)).encode())
    for channel in (0, 1):
        _send(handler, bytes([channel]) + struct.pack("<H", port))
    if isinstance(target, str):
        _send(handler, b"\x01" + target.encode())
        return
    _send(handler, b"are you there?", opcode=9)
    with socket.create_connection(target) as store:
        back = threading.Thread(target=_copy_back, args=(handler, store))
        back.start()
        _copy_forth(handler, store)
        back.join()


def _sha1(content: bytes) -> bytes:
    return hashlib.sha1(content, usedforsecurity=False).digest()


def _copy_forth(handler: Any, store: socket.socket) -> None:
    try:
        while (frame := _read(handler.rfile)) is not None:
            opcode, payload = frame
            if opcode == 2:
                assert payload[0] == 0
                store.sendall(payload[1:])
            elif opcode == 10:
                assert payload == b"are you there?"
        store.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _copy_back(handler: Any, store: socket.socket) -> None:
    try:
        while block := store.recv(1 << 16):
            half = len(block) // 2  # a message in two frames
            _send(handler, b"\x00" + block[:half], last=False)
            _send(handler, block[half:], opcode=0)
        _send(handler, b"", opcode=8)
    except OSError:
        return
    finally:
        with suppress(OSError):  # the client was first
            handler.connection.shutdown(socket.SHUT_RDWR)


def _send(handler: Any, payload: bytes, opcode: int = 2, last: bool = True) -> None:
    length = len(payload)
    size = bytes([length]) if length < 126 else b"\x7e" + struct.pack(">H", length) if length < 1 << 16 else (
        b"\x7f" + struct.pack(">Q", length)
    )  # fmt: skip
    handler.wfile.write(bytes([(0x80 if last else 0) | opcode]) + size + payload)
    handler.wfile.flush()


def _read(stream: Any) -> tuple[int, bytes] | None:
    head = stream.read(2)
    if len(head) < 2:
        return None
    assert head[1] & 0x80, "a client masks what it sends"
    length = head[1] & 0x7F
    if length > 125:
        length = int.from_bytes(stream.read(2 if length == 126 else 8), "big")
    mask = stream.read(4)
    payload = stream.read(length)
    cover = (mask * (length // 4 + 1))[:length]
    return head[0] & 0x0F, bytes(a ^ b for a, b in zip(payload, cover, strict=True))
