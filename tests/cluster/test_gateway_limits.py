"""What the gateway takes from clients, on a route of the tests that the gateway answers itself: a redirect.

No server is behind it, so what is counted is the gateway's doing alone, and no predictor is asked.
"""

import re
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cluster.conftest import PROXIES
from tests.cluster.gateway import Gateway
from tests.cluster.kubectl import Kubectl, until
from tests.cluster.probes import PLAYGROUND, Probe, Probes, endpoint, namespaces, running

HOST = "limits.ranklift-tests.localhost"
ROUTE = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": "limits", "namespace": PLAYGROUND},
    "spec": {
        "parentRefs": [{"name": "kserve-ingress-gateway", "namespace": "kserve"}],
        "hostnames": [HOST],
        "rules": [
            {
                "filters": [
                    {"type": "RequestRedirect", "requestRedirect": {"hostname": "example.com", "statusCode": 302}}
                ]
            }
        ],
    },
}
GET = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
BODY = 4 << 20  #: bytes, of base/ingress/limits.yaml; as are the next two
RATE = 500  #: requests of a client address in a second
CONNECTIONS = 1000  #: at a port of a proxy


def _head(length: int) -> bytes:
    return f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n".encode()


class Client:
    """A connection to the gateway that sends bytes as it likes; what comes back is bounded in time."""

    def __init__(self, gateway: Gateway) -> None:
        self.socket = socket.create_connection(("127.0.0.1", gateway.http), timeout=30)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send, as far as the gateway listens: it closes once it has refused."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def statuses(self, count: int) -> list[int]:
        """Return the statuses of so many answers, or of those that came before the end."""
        text, found = b"", []
        while len(found) < count and (part := self._received()):
            text += part
            found = re.findall(rb"HTTP/1\.1 (\d{3}) ", text)
        return [int(status) for status in found]

    def _received(self) -> bytes:
        try:
            return self.socket.recv(1 << 16)
        except ConnectionResetError:
            return b""


def status_of(gateway: Gateway, data: bytes) -> int:
    """The status that a request meets; 0 when the connection ends without an answer."""
    with Client(gateway) as client:
        client.send(data)
        return next(iter(client.statuses(1)), 0)


@pytest.fixture(scope="module")
def route(kubectl: Kubectl, gateway: Gateway) -> Iterator[Gateway]:
    """The gateway, with the route."""
    with namespaces(kubectl, PLAYGROUND):
        kubectl.apply(ROUTE)
        until(lambda: status_of(gateway, GET) == 302, 60, "a redirect of the gateway")
        yield gateway


@pytest.mark.parametrize("size", [0, 1000, BODY - 65536], ids=["empty", "small", "just-small-enough"])
def test_body_within_the_limit_is_taken(route, size):
    assert status_of(route, _head(size) + b"x" * size) == 302


def test_body_beyond_the_limit_is_refused_with_413(route):
    size = BODY + 65536
    assert status_of(route, _head(size) + b"x" * size) == 413


def test_request_that_does_not_arrive_whole_is_refused_with_408(route):
    assert status_of(route, _head(100) + b"abc") == 408


def test_client_that_asks_more_often_than_the_limit_is_refused_with_429_and_served_again_later(route):
    def burst(_: int) -> list[int]:
        with Client(route) as client:
            client.send(GET * 100)
            return client.statuses(100)

    with ThreadPoolExecutor(30) as pool:
        met = Counter(status for part in pool.map(burst, range(30)) for status in part)
    assert met.keys() == {302, 429}
    assert met[302] >= RATE
    until(lambda: status_of(route, GET) == 302, 10, "an answer once the client asks less")


_OPEN = """
import json, resource, socket, sys, time

address, count = json.load(sys.stdin)
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
opened = [socket.create_connection(address, 10) for _ in range(count)]
time.sleep(3)  # until the gateway has looked at all of them

def is_open(one):
    one.setblocking(False)
    try:
        return one.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False

print(sum(map(is_open, opened)))
"""


@pytest.fixture(scope="module")
def client(kubectl: Kubectl, route: Gateway, image: str) -> Iterator[Probes]:
    """A pod that opens connections; a forwarded port is a single connection that carries all of them."""
    with running(kubectl, image, [Probe("client", PLAYGROUND)]) as probes:
        yield probes


def test_connections_beyond_the_limit_are_closed_and_the_others_kept(kubectl, client):
    labels = "gateway.envoyproxy.io/owning-gateway-name=kserve-ingress-gateway"
    (proxy,) = kubectl.items("service", PROXIES, labels)
    (port,) = (item["targetPort"] for item in proxy["spec"]["ports"] if item["port"] == 80)
    where = endpoint(kubectl, PROXIES, proxy["metadata"]["name"], port)
    kept = client.run("client", _OPEN, [where, CONNECTIONS + 100])
    assert 0.9 * CONNECTIONS < kept <= CONNECTIONS
