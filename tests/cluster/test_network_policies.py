"""Every NetworkPolicy both ways: what it is for arrives, and nothing else does."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.cluster.kubectl import Kubectl, until
from tests.cluster.optional import added, copies
from tests.cluster.probes import LABEL, PLAYGROUND, Probes, namespaces, running
from tests.cluster.traffic import ALLOWED, ITSELF, OPTIONAL, PAIRS, PROBES, REFUSED, ROWS, addresses

OURS = ("kserve", "kubeflow", "ranklift", "ranklift-store")
WALL = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "wall", "namespace": PLAYGROUND},
    "spec": {"podSelector": {"matchLabels": {LABEL: "walled"}}, "policyTypes": ["Ingress"]},
}

UNENFORCED = (
    "This cluster's network plug-in does not enforce NetworkPolicies: a pod is reached 60 s after a policy that lets "
    "nothing in. Install a plug-in that enforces them, such as Calico or Cilium; kind's own does."
)


@pytest.fixture(scope="module")
def probes(kubectl: Kubectl, image: str) -> Iterator[Probes]:
    """A pod for everybody whom a policy of ours knows, and for some whom none knows."""
    policies = [document for path in OPTIONAL.values() for document in copies(path, "NetworkPolicy")]
    with ExitStack() as stack:
        stack.enter_context(added(kubectl, policies))
        stack.enter_context(namespaces(kubectl, PLAYGROUND, "monitoring"))
        yield stack.enter_context(running(kubectl, image, PROBES))


@pytest.fixture(scope="module")
def enforced(kubectl: Kubectl, probes: Probes) -> bool:
    """Whether a policy counts that was made after all others and all probes; if so the others do too."""
    walled = {"walled": probes.address("walled")}
    until(lambda: probes.reached("stranger", walled)["walled"], 60, "a connection before there is a policy")
    kubectl.apply(WALL)
    try:
        return until(lambda: not probes.reached("stranger", walled)["walled"], 60, "a refusal")
    except AssertionError:
        return False


@pytest.fixture(scope="module")
def reached(kubectl: Kubectl, probes: Probes, enforced: bool) -> dict[str, dict[str, bool]]:
    """Whom each probe gets a connection to."""
    assert enforced, UNENFORCED
    return probes.reached_by_each(addresses(kubectl, probes))


def _told(pair: tuple[str, str]) -> str:
    return " to ".join(pair)


def test_the_plug_in_enforces_policies(enforced):
    assert enforced, UNENFORCED


def test_every_policy_has_a_row(kubectl):
    ours = "app.kubernetes.io/part-of=ranklift"
    found = {
        f"{place}/{item['metadata']['name']}" for place in OURS for item in kubectl.items("networkpolicy", place, ours)
    }
    rows = {name for row in ROWS for name in row.policies}
    denied = {f"{place}/default-deny" for place in OURS}
    assert found | OPTIONAL.keys() == rows | denied


@pytest.mark.parametrize("target", ITSELF)
def test_what_must_be_refused_listens(reached, target):
    assert reached[ITSELF[target]][target]


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair in ALLOWED], ids=_told)
def test_what_a_policy_is_for_arrives(reached, pair):
    source, target = pair
    assert reached[source][target]


@pytest.mark.parametrize("pair", REFUSED, ids=_told)
def test_everything_else_is_refused(reached, pair):
    source, target = pair
    assert not reached[source][target]
