"""Connections to a port of a pod through the cluster's API, as `kubectl port-forward` makes them.

Nothing listens on this machine: a connection is one end of a socket pair, and a thread copies between its other end and
a websocket. Its frames are read and written here, because the client's own calls wait for a whole frame, and whoever
waits to read does not write.
"""

import os
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import certifi

from components.kubernetes.api import KubernetesApi
from components.kubernetes.errors import KubernetesError, message_of
from components.kubernetes.kinds import PODS, Kind

_PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1  # channels of the first port that was asked for
_CONTINUED, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x2, 0x8, 0x9, 0xA
_PATIENCE = 10.0  # seconds to connect
_BLOCK = 1 << 16
_ROOM = 1 << 20  # bytes that may wait for either side before no more is taken from the other
_HUNG_UP = select.POLLHUP | select.POLLERR | select.POLLNVAL
_FORWARDS = Kind("", "v1", "pods/portforward")


class PodForward:
    """Connections to pods of one cluster, all closed at the end of the context."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api
        self._copies: list[_Copy] = []

    def __enter__(self) -> "PodForward":
        return self

    def __exit__(self, *_: object) -> None:
        for copy in self._copies:
            copy.stop()

    @property
    def fault(self) -> str:
        """What the cluster last said of a connection that broke; empty when nothing."""
        return next((copy.fault for copy in reversed(self._copies) if copy.fault), "")

    def connect(self, namespace: str, pod: str, port: int) -> socket.socket:
        """Return a socket that is connected to a port of a pod.

        Raises:
            KubernetesError: when the cluster refuses or cannot be reached.
        """
        remote = self._open(namespace, pod, port)
        ours, theirs = socket.socketpair()
        copy = _Copy(remote, theirs)
        self._copies.append(copy)
        copy.start()
        return ours

    def _open(self, namespace: str, pod: str, port: int) -> Any:
        from websocket import WebSocket, WebSocketBadStatusException, WebSocketException

        configuration, url, headers = self._api.signed(f"{PODS.path(namespace, pod)}/portforward?ports={port}")
        lines = [f"{name}: {value}" for name, value in headers.items()]
        websocket: Any = WebSocket(sslopt=_tls_options(configuration))
        try:
            websocket.connect(
                url.replace("http", "ws", 1), header=lines, subprotocols=[_PROTOCOL], timeout=_PATIENCE,
                **_proxy_options(configuration, url),
            )  # fmt: skip
        except WebSocketBadStatusException as error:
            raise KubernetesError(_refusal(error, namespace, pod, port), error.status_code) from None
        except (WebSocketException, OSError) as error:
            raise KubernetesError(
                f"The cluster's API at {self._api.host} opened no connection to port {port} of pod {pod} in namespace "
                f"{namespace} ({error or type(error).__name__}); check that `kubectl get pods` works from here."
            ) from None
        return websocket.sock


class _Copy(threading.Thread):
    """Copies between a websocket's connection and a socket until either ends."""

    def __init__(self, remote: Any, local: socket.socket) -> None:
        super().__init__(name="ranklift port forward", daemon=True)
        self.fault = ""
        self._remote, self._local = remote, local
        self._frames = _Frames()
        self._up, self._down = bytearray(), bytearray()  # what waits to be sent to either side
        self._greeted: set[int] = set()  # channels whose first message, the port's number, was read
        self._channel = _DATA
        for side in (remote, local):
            side.setblocking(False)

    def stop(self) -> None:
        """End it from another thread, and wait for that."""
        with suppress(OSError):  # it has ended already
            self._local.shutdown(socket.SHUT_RDWR)
        self.join(_PATIENCE)

    def run(self) -> None:
        """Copy until one side ends."""
        with suppress(OSError):  # of either side: who reads the other meets its end, and says what broke off
            while self._turn():
                pass
            self._local.settimeout(_PATIENCE)
            self._local.sendall(self._down)
        self._local.close()
        self._remote.close()

    def _turn(self) -> bool:
        """Wait for either side and copy what there is; False at an end."""
        poller, pending = select.poll(), isinstance(self._remote, ssl.SSLSocket) and self._remote.pending() > 0
        sides = ((self._remote, self._down, self._up), (self._local, self._up, self._down))
        for side, taken, waiting in sides:
            mask = (select.POLLIN if len(taken) < _ROOM else 0) | (select.POLLOUT if waiting else 0)
            poller.register(side, mask)
        events = dict(poller.poll(0 if pending else None))
        at_remote, at_local = (events.get(side.fileno(), 0) for side, _, _ in sides)
        if at_local & _HUNG_UP:
            return False
        if at_local & select.POLLIN and not self._take_local():
            return False
        if (pending or at_remote & (select.POLLIN | _HUNG_UP)) and not self._take_remote():
            return False
        _give(self._remote, self._up)
        _give(self._local, self._down)
        return True

    def _take_local(self) -> bool:
        block = self._local.recv(_BLOCK)
        if block:
            self._up += _frame(_BINARY, bytes([_DATA]) + block)
        return bool(block)

    def _take_remote(self) -> bool:
        try:
            block = self._remote.recv(_BLOCK)
        except (ssl.SSLWantReadError, BlockingIOError):
            return True  # TLS spoke of itself
        for opcode, payload in self._frames.of(block):
            if opcode == _CLOSE or (opcode in {_BINARY, _CONTINUED} and not self._accept(opcode, payload)):
                return False
            if opcode == _PING:
                self._up += _frame(_PONG, payload)
        return bool(block)

    def _accept(self, opcode: int, payload: bytes) -> bool:
        """Take a message, or a part of one; False when it says that the connection failed."""
        if opcode == _BINARY:
            self._channel, payload = payload[0] if payload else _DATA, payload[1:]
            if self._channel not in self._greeted:
                self._greeted.add(self._channel)
                return True
        if self._channel == _ERROR:
            self.fault = payload.decode("utf-8", "replace").strip().rstrip(".")
            return False
        self._down += payload
        return True


class _Frames:
    """Splits what a websocket's server sends into frames (RFC 6455)."""

    def __init__(self) -> None:
        self._rest = b""

    def of(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        """Opcode and payload of each frame that is whole now."""
        self._rest += block
        while (frame := self._first()) is not None:
            begin, end = frame
            opcode, payload = self._rest[0] & 0x0F, self._rest[begin:end]
            self._rest = self._rest[end:]
            yield opcode, payload

    def _first(self) -> tuple[int, int] | None:
        """Where the payload of the first frame begins and ends; None while it is not whole."""
        if len(self._rest) < 2:
            return None
        length, begin = self._rest[1] & 0x7F, 2  # a server does not mask
        if length > 125:
            begin = 4 if length == 126 else 10
            length = int.from_bytes(self._rest[2:begin], "big")
        return (begin, begin + length) if len(self._rest) >= begin + length and len(self._rest) >= begin else None


def _frame(opcode: int, payload: bytes) -> bytes:
    """Return a frame as a client sends it: masked, which keeps proxies from taking it for something else."""
    length = len(payload)
    if length < 126:
        size = bytes([0x80 | length])
    elif length < 1 << 16:
        size = bytes([0x80 | 126]) + length.to_bytes(2, "big")
    else:
        size = bytes([0x80 | 127]) + length.to_bytes(8, "big")
    mask = os.urandom(4)
    cover = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
    masked = (int.from_bytes(payload, "big") ^ cover).to_bytes(length, "big")
    return bytes([0x80 | opcode]) + size + mask + masked


def _give(side: Any, waiting: bytearray) -> None:
    if waiting:
        try:
            del waiting[: side.send(waiting)]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError):
            return  # no room; the next turn waits for it


def _tls_options(configuration: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"cert_reqs": ssl.CERT_NONE}
    if configuration.verify_ssl:
        options = {"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": configuration.ssl_ca_cert or certifi.where()}
        if configuration.assert_hostname is not None:
            options["check_hostname"] = bool(configuration.assert_hostname)
    given = {
        "certfile": configuration.cert_file,
        "keyfile": configuration.key_file,
        "server_hostname": configuration.tls_server_name,
    }
    return options | {name: value for name, value in given.items() if value}


def _proxy_options(configuration: Any, url: str) -> dict[str, Any]:
    from kubernetes.stream.ws_client import websocket_proxycare

    if not (configuration.proxy or configuration.proxy_headers):
        return {"http_no_proxy": ["*"]}
    options: dict[str, Any] = websocket_proxycare({}, configuration, url, {})
    return options


def _refusal(error: Any, namespace: str, pod: str, port: int) -> str:
    what = f"forward port {port} of pod {pod} in namespace {namespace}"
    if error.status_code == 403:
        return (
            f"The cluster does not allow you to {what}; your Role needs the rule {_FORWARDS.rule('get, create')} there "
            "(Kubernetes 1.35 asks for create, older ones for get)."
        )
    return f"The cluster answered {error.status_code} when asked to {what}: {message_of(error.resp_body)}."
