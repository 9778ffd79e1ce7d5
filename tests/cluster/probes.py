"""Pods that try what a pod of a certain namespace, labels and account can do: whom they reach, what the API answers."""

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.cluster.kubectl import Document, Kubectl

PLAYGROUND = "ranklift-tests"  #: a namespace of the tests, without a NetworkPolicy of ours
LABEL = "ranklift.dev/probe"
OPEN = 9999  #: a port that every probe listens at and no policy names
RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_ANY_PORT = {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]}
_LISTEN = """
import socket, sys, threading

def accept(port):
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    server = socket.create_server(("", port), family=family, dualstack_ipv6=dual)
    while True:
        server.accept()[0].close()

for port in sys.argv[1:]:
    threading.Thread(target=accept, args=(int(port),)).start()
"""
_CONNECT = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def reaches(target):
    try:
        socket.create_connection(target, 5).close()
    except OSError:
        return False
    return True

targets = json.load(sys.stdin)
with ThreadPoolExecutor(len(targets)) as pool:
    print(json.dumps(dict(zip(targets, pool.map(reaches, targets.values())))))
"""


class Address(NamedTuple):
    """Where something listens."""

    host: str
    port: int


class Probe(NamedTuple):
    """A pod that has what the policies go by."""

    name: str
    namespace: str
    labels: Mapping[str, str] = {}
    ports: tuple[int, ...] = ()  #: that it listens at, besides `OPEN`
    account: str = ""  #: whose token it has; without one it has none

    def pod(self, image: str) -> Document:
        """Return the pod. It is never ready, so no Service sends it anything, whatever its labels are."""
        container = {
            "name": "probe",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-c", _LISTEN, str(OPEN), *map(str, self.ports)],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "resources": {"requests": {"cpu": "1m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}},
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"probe-{self.name}",
                "namespace": self.namespace,
                "labels": {**self.labels, LABEL: self.name},
            },
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": bool(self.account),
                **({"serviceAccountName": self.account} if self.account else {}),
                "readinessGates": [{"conditionType": "ranklift.dev/never"}],
                "securityContext": {**RESTRICTED, **(_ANY_PORT if min((OPEN, *self.ports)) < 1024 else {})},
                "containers": [container],
            },
        }


class Probes:
    """Probes that run, and what they see."""

    def __init__(self, kubectl: Kubectl, probes: Iterable[Probe]) -> None:
        self._kubectl = kubectl
        self.by_name = {probe.name: probe for probe in probes}

    def run(self, name: str, script: str, given: Any = None, timeout: float = 120) -> Any:
        """Run a script in a probe, with a JSON document at its input; return the document that it prints."""
        probe = self.by_name[name]
        command = ("exec", "-i", "-n", probe.namespace, f"probe-{name}", "--", "python3", "-c", script)
        return json.loads(self._kubectl(*command, stdin=json.dumps(given), timeout=timeout))

    def reached(self, name: str, targets: Mapping[str, Address]) -> dict[str, bool]:
        """Return which targets the probe gets a TCP connection to, all tried at once."""
        found: dict[str, bool] = self.run(name, _CONNECT, targets)
        return found

    def reached_by_each(self, targets: Mapping[str, Address]) -> dict[str, dict[str, bool]]:
        """Return that for every probe."""
        with ThreadPoolExecutor(6) as pool:
            return dict(
                zip(self.by_name, pool.map(lambda name: self.reached(name, targets), self.by_name), strict=True)
            )

    def address(self, name: str, port: int = OPEN) -> Address:
        """Return where the probe listens."""
        pod = self._kubectl.json("get", "pod", "-n", self.by_name[name].namespace, f"probe-{name}")
        return Address(pod["status"]["podIP"], port)


@contextmanager
def running(kubectl: Kubectl, image: str, probes: Iterable[Probe]) -> Iterator[Probes]:
    """Start probes, wait until their containers run, and remove them at the end."""
    started = Probes(kubectl, probes)
    places = {probe.namespace for probe in started.by_name.values()}
    pods = {"apiVersion": "v1", "kind": "List", "items": [probe.pod(image) for probe in started.by_name.values()]}
    try:
        kubectl("apply", "-f", "-", stdin=json.dumps(pods), timeout=120)
        for place in sorted(places):
            wait = ("--for=condition=ContainersReady", "--timeout=150s")
            kubectl("wait", "pod", "-n", place, "-l", LABEL, *wait, timeout=160)
        yield started
    finally:
        kubectl("delete", "--ignore-not-found", "-f", "-", stdin=json.dumps(pods), timeout=120)


@contextmanager
def namespaces(kubectl: Kubectl, *names: str) -> Iterator[None]:
    """Make the namespaces that are not there; remove those at the end."""
    made = [name for name in names if not kubectl("get", "namespace", name, "--ignore-not-found", "-o", "name")]
    try:
        for name in made:
            kubectl("create", "namespace", name)
            # Without it no pod can be made there.
            kubectl("wait", "--for=create", "serviceaccount/default", "-n", name, "--timeout=30s")
        yield
    finally:
        if made:
            kubectl("delete", "namespace", "--ignore-not-found", *made, timeout=180)


def endpoint(kubectl: Kubectl, namespace: str, service: str, port: int = 0) -> Address:
    """Return where a ready pod of a Service listens; with a port, at that port of the pod.

    Raises:
        AssertionError: when there is none.
    """
    for slice_ in kubectl.items("endpointslice", namespace, f"kubernetes.io/service-name={service}"):
        ports = [item["port"] for item in slice_.get("ports") or () if port in (0, item["port"])]
        ready = [item for item in slice_.get("endpoints") or () if item.get("conditions", {}).get("ready", True)]
        if ports and ready:
            return Address(ready[0]["addresses"][0], ports[0])
    raise AssertionError(f"The Service {service} in {namespace} has no pod that is ready at port {port or 'any'}.")
