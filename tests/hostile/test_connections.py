"""Connections that are opened to be held: deadlines that no byte moves, and budgets that all of them share."""

import contextlib
import json
import socket
import time
from pathlib import Path

import httpx
import pytest

from predictor.files_limit import allow_connections
from tests.kserve.running import RunningPredictor, wait_for

HEAD = b"POST /find_similar HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = json.dumps({"query": "sort", "documents": ["array"]}).encode()
WHOLE = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
MEGABYTE = 1 << 20
PATIENCE = 90.0  # far more than the deadlines, which are 2 s, on a machine that does other work as well


def is_let_go(client: socket.socket, drip: bytes = b"", every: float = 0.2) -> bool:
    """Whether the server closes the connection, however often the client sends something more."""
    end = time.monotonic() + PATIENCE
    client.settimeout(every)
    while time.monotonic() < end:
        try:
            if drip:
                client.sendall(drip)
            if not client.recv(65536):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


DRIPS = {
    "nothing": (b"", b""),
    "line breaks before a request": (b"", b"\r\n"),
    "a head that never ends": (HEAD, b"X-A: b\r\n"),
    "a header that never ends": (HEAD + b"X-A: ", b"b"),
    "a body that never ends": (HEAD + b"Content-Length: 1000000\r\n\r\n", b" "),
    "chunks that never end": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "line breaks after an answer": (WHOLE, b"\r\n"),
    "half a head after an answer": (WHOLE + b"POST", b"T"),
    "trailers that never end": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"X-A: b\r\n"),
}


@pytest.mark.parametrize(("sent", "drip"), DRIPS.values(), ids=DRIPS)
def test_no_byte_of_a_client_moves_its_deadline(survivor, sent, drip):
    with survivor.connect() as client:
        client.sendall(sent)
        assert is_let_go(client, drip)


FLOODS = {
    "trailers": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"X-A: " + b"b" * 8000 + b"\r\n"),
    "one trailer": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-A: ", b"b" * 65536),
    "a chunk's extension": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;a=", b"b" * 65536),
    "one header": (HEAD + b"X-A: ", b"b" * 65536),
    "a path": (b"GET /", b"b" * 65536),
}


@pytest.mark.parametrize(("sent", "flood"), FLOODS.values(), ids=FLOODS)
def test_a_flood_ends_before_it_is_kept(survivor, sent, flood):
    before = survivor.memory("VmHWM")
    clients = [survivor.connect() for _ in range(8)]
    ended = 0
    for client in clients:
        client.sendall(sent)
        with contextlib.suppress(OSError):
            for _ in range(64 * MEGABYTE // len(flood)):
                client.sendall(flood)
            ended -= 1
        ended += 1
        client.close()
    assert ended == len(clients)
    assert survivor.memory("VmHWM") - before < 64 * MEGABYTE


def test_trailers_are_no_headers(survivor):
    with survivor.connect() as client:
        chunk = b"%x\r\n%s\r\n0\r\n" % (len(BODY), BODY)
        client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"X-Request-ID: of-a-trailer\r\n\r\n")
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"of-a-trailer" not in answer


def test_unfinished_bodies_share_one_budget(survivor):
    before = survivor.memory()
    clients = [survivor.connect() for _ in range(200)]
    for client in clients:
        client.settimeout(5)
        with contextlib.suppress(OSError):  # refused: the budget is used up
            client.sendall(HEAD + b"Content-Length: 4000000\r\n\r\n" + b" " * 3_900_000)
    answer = httpx.post(f"{survivor.url}/find_similar", json={"query": "a", "documents": ["b"]}, timeout=30)
    grown = survivor.memory() - before
    for client in clients:
        client.close()
    assert answer.status_code == 200
    assert grown < 300 * MEGABYTE


def test_a_client_that_never_reads_is_let_go(survivor):
    texts = json.dumps({"input": ["sort the array"] * 2000}).encode()
    request = HEAD.replace(b"/find_similar", b"/v1/embeddings") + b"Content-Length: %d\r\n\r\n" % len(texts) + texts
    before, answered = open_sockets(survivor), survivor.metric("ranklift_requests_total")
    host, port = survivor.url.removeprefix("http://").split(":")
    clients = []
    for _ in range(20):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((host, int(port)))
        client.sendall(request * 3)
        clients.append(client)
    wait_for(lambda: survivor.metric("ranklift_requests_total") >= answered + 20, PATIENCE)
    wait_for(lambda: open_sockets(survivor) <= before, PATIENCE)
    for client in clients:
        client.close()


def open_sockets(predictor: RunningPredictor) -> int:
    """How many sockets the process holds."""
    sockets = 0
    for file in Path(f"/proc/{predictor.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            sockets += str(file.readlink()).startswith("socket:")
    return sockets


def test_idle_connections_make_room_for_an_honest_client(survivor):
    allow_connections(1100)
    clients = []
    for _ in range(1100):  # the limit is 1000
        clients.append(survivor.connect())
    answer = httpx.post(f"{survivor.url}/find_similar", json={"query": "a", "documents": ["b"]}, timeout=30)
    for client in clients:
        client.close()
    assert answer.status_code == 200


def test_pipelined_requests_are_bounded(survivor):
    with survivor.connect() as client:
        client.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5000)
        assert is_let_go(client)


def test_pipelined_upgrades_cost_no_more_than_requests(survivor):
    asking = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    with survivor.connect() as client:
        client.sendall(asking * 5000)
        assert is_let_go(client)
