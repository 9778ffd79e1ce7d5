"""Pod Security `restricted`, where predictors and the store run: a pod that could harm the node is refused."""

import copy
import json
from collections.abc import Callable

import pytest

from tests.cluster.conftest import SERVING, STORE
from tests.cluster.kubectl import Document
from tests.cluster.probes import Probe


def _plain(pod: Document) -> None:
    """A pod as people write it who have not heard of Pod Security."""
    del pod["spec"]["securityContext"], pod["spec"]["containers"][0]["securityContext"]


def _container(**fields: object) -> Callable[[Document], None]:
    return lambda pod: pod["spec"]["containers"][0]["securityContext"].update(fields)


def _pod(**fields: object) -> Callable[[Document], None]:
    return lambda pod: pod["spec"].update(fields)


def _shared(**fields: object) -> Callable[[Document], None]:
    return lambda pod: pod["spec"]["securityContext"].update(fields)


HARM: dict[str, Callable[[Document], None]] = {
    "plain": _plain,
    "root": _shared(runAsUser=0),
    "perhaps root": _shared(runAsNonRoot=False),
    "privileged": _container(privileged=True, allowPrivilegeEscalation=True),
    "privilege escalation": _container(allowPrivilegeEscalation=True),
    "capabilities": _container(capabilities={}),
    "another capability": _container(capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]}),
    "no seccomp": _shared(seccompProfile={"type": "Unconfined"}),
    "network of the host": _pod(hostNetwork=True),
    "processes of the host": _pod(hostPID=True),
    "files of the host": _pod(volumes=[{"name": "root", "hostPath": {"path": "/"}}]),
}


@pytest.fixture(params=[SERVING, STORE])
def pod(request, image) -> Document:
    """A pod that keeps every rule."""
    return copy.deepcopy(Probe("security", request.param).pod(image))


def test_pod_that_keeps_the_rules_is_taken(kubectl, pod):
    kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))


@pytest.mark.parametrize("harm", HARM)
def test_pod_that_breaks_one_is_refused(kubectl, pod, harm):
    HARM[harm](pod)
    said = kubectl.attempt("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    assert said.returncode == 1
    assert 'violates PodSecurity "restricted:' in said.stderr
