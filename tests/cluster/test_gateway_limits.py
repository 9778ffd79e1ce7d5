"""What the gateway takes from clients, on routes of the tests, so that no predictor is asked.

One is a redirect, which the gateway answers itself. Envoy Gateway counts requests only where a route has a server: that
of the other hangs up, status 503. The client is a pod that speaks to one proxy: the limits are each proxy's, and a
forwarded port does not outlive a connection that is reset.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.cluster.conftest import PROXIES
from tests.cluster.kubectl import Kubectl, until
from tests.cluster.probes import LABEL, OPEN, PLAYGROUND, Address, Probe, Probes, endpoint, namespaces, running

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
                "matches": [{"path": {"type": "PathPrefix", "value": "/counted"}}],
                "backendRefs": [{"name": "limits", "port": 80}],
            },
            {
                "filters": [
                    {"type": "RequestRedirect", "requestRedirect": {"hostname": "example.com", "statusCode": 302}}
                ]
            },
        ],
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "limits", "namespace": PLAYGROUND},
    "spec": {
        "selector": {LABEL: "client"},
        "publishNotReadyAddresses": True,
        "ports": [{"port": 80, "targetPort": OPEN}],
    },
}
BODY = 4 << 20  #: bytes, of base/ingress/limits.yaml; as are the next two
RATE = 500  #: requests of a client address in a second
CONNECTIONS = 1000  #: at a port of a proxy

_ASK = """
import json, re, socket, sys
from concurrent.futures import ThreadPoolExecutor

def statuses(address, request, times):
    text, found = b"", []
    with socket.create_connection(address, 30) as connection:
        try:
            connection.sendall(request * times)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the gateway closes once it has refused
        try:
            while len(found) < times and (part := connection.recv(65536)):
                text += part
                found = re.findall(rb"HTTP/1\\.1 (\\d{3}) ", text)
        except ConnectionResetError:
            pass
    return list(map(int, found))

address, head, size, connections, times = json.load(sys.stdin)
with ThreadPoolExecutor(connections) as pool:
    met = pool.map(lambda _: statuses(address, head.encode() + b"x" * size, times), range(connections))
    print(json.dumps(sum(met, [])))
"""
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
Ask = Callable[..., Counter[int]]


@pytest.fixture(scope="module")
def client(kubectl: Kubectl, image: str) -> Iterator[Probes]:
    """A pod that speaks to the gateway, and a route that leads nowhere else."""
    with ExitStack() as stack:
        stack.enter_context(namespaces(kubectl, PLAYGROUND))
        kubectl.apply(SERVICE)
        kubectl.apply(ROUTE)
        yield stack.enter_context(running(kubectl, image, [Probe("client", PLAYGROUND)]))


@pytest.fixture(scope="module")
def proxy(kubectl: Kubectl) -> Address:
    """Where one of the gateway's proxies takes HTTP."""
    labels = "gateway.envoyproxy.io/owning-gateway-name=kserve-ingress-gateway"
    (found,) = kubectl.items("service", PROXIES, labels)
    (port,) = (item["targetPort"] for item in found["spec"]["ports"] if item["port"] == 80)
    return endpoint(kubectl, PROXIES, found["metadata"]["name"], port)


@pytest.fixture(scope="module")
def ask(client: Probes, proxy: Address) -> Ask:
    """Send requests and count the statuses that they meet."""

    def asked(
        sent: int = 0, path: str = "/", length: int | None = None, connections: int = 1, times: int = 1
    ) -> Counter[int]:
        """Send bodies of `sent` bytes that say to be `length` long, so many `times` on each of so many connections."""
        lines = [
            f"POST {path} HTTP/1.1", f"Host: {HOST}", "Content-Type: text/plain",
            f"Content-Length: {sent if length is None else length}",
        ]  # fmt: skip
        head = "\r\n".join([*lines, "", ""])
        return Counter(client.run("client", _ASK, [proxy, head, sent, connections, times]))

    until(lambda: asked() == {302: 1}, 60, "a redirect of the gateway")
    return asked


@pytest.mark.parametrize("size", [0, 1000, BODY - 65536], ids=["empty", "small", "just-small-enough"])
def test_body_within_the_limit_is_taken(ask, size):
    assert ask(size) == {302: 1}


def test_body_beyond_the_limit_is_refused_with_413(ask):
    assert ask(BODY + 65536) == {413: 1}


def test_request_that_does_not_arrive_whole_is_refused_with_408(ask):
    assert ask(3, length=100) == {408: 1}


def test_client_that_asks_more_often_than_the_limit_is_refused_with_429_and_served_again_later(ask):
    until(lambda: ask(path="/counted") == {503: 1}, 30, "a route whose server hangs up")
    met = ask(path="/counted", connections=60, times=50)
    assert met.keys() == {503, 429}
    assert met[503] >= RATE
    until(lambda: ask(path="/counted") == {503: 1}, 10, "a request that is let through once the client asks less")


def test_connections_beyond_the_limit_are_closed_and_the_others_kept(client, proxy):
    kept = client.run("client", _OPEN, [proxy, CONNECTIONS + 100])
    assert 0.9 * CONNECTIONS < kept <= CONNECTIONS
