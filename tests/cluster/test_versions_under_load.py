"""Another version takes over, goes back and is tried as a canary, while clients ask: none of them notices."""

import json

import pytest

from tests.cluster.conftest import NAME, SERVING, Gateway, figures, ranklift
from tests.cluster.kubectl import Kubectl, until

LABELS = f"serving.kserve.io/inferenceservice={NAME}"
KINDS = ("deployment", "horizontalpodautoscaler", "httproute", "service", "pod")


def left_over(kubectl: Kubectl) -> list[str]:
    """What is in the serving namespace under a canary's name."""
    return [
        f"{kind} {item['metadata']['name']}"
        for kind in KINDS
        for item in kubectl.json("get", kind, "-n", SERVING)["items"]
        if "canary" in item["metadata"]["name"] and "deletionTimestamp" not in item["metadata"]
    ]


def pods_of(kubectl: Kubectl) -> list[str]:
    return [pod["metadata"]["name"] for pod in kubectl.items("pod", SERVING, LABELS)]


def check(load, title: str) -> None:
    figures.setdefault("requests while versions change", []).append(f"{title}: {load.summary()}")
    assert load.failures == []
    assert len(load.answers) / load.now() >= 20


class TestUnderLoad:
    def test_deploy_of_another_version_loses_no_request(self, kubectl: Kubectl, gateway: Gateway, another: str):
        with gateway.load() as load:
            result = ranklift("deploy", another, "--namespace", SERVING)
            assert result.returncode == 0, result.stderr
            over = load.now()
            until(lambda: len(pods_of(kubectl)) == 1, 120, "one pod alone")
        check(load, f"deploy of {another}")
        assert set(load.versions()) == {"V0", another}
        assert set(load.versions(since=over + 1)) == {another}

    def test_rollback_loses_no_request(self, kubectl: Kubectl, gateway: Gateway, another: str):
        assert ranklift("deploy", another, "--namespace", SERVING).returncode == 0
        with gateway.load() as load:
            result = ranklift("rollback", "V0", "--namespace", SERVING)
            assert result.returncode == 0, result.stderr
            over = load.now()
            until(lambda: len(pods_of(kubectl)) == 1, 120, "one pod alone")
        check(load, f"rollback from {another}")
        assert set(load.versions(since=over + 1)) == {"V0"}

    def test_canary_serves_both_versions_then_one_and_leaves_nothing(
        self, kubectl: Kubectl, gateway: Gateway, another: str
    ):
        canary = {"RANKLIFT_CANARY_PERCENT": "30", "RANKLIFT_CANARY_SECONDS": "20"}
        with gateway.load() as load:
            result = ranklift("deploy", another, "--namespace", SERVING, **canary)
            assert result.returncode == 0, result.stderr
            over = load.now()
            until(lambda: not left_over(kubectl), 120, "nothing of the canary left")
            until(lambda: len(pods_of(kubectl)) == 1, 120, "one pod alone")
        check(load, f"canary of {another}")
        assert set(load.versions(until=over)) == {"V0", another}
        assert set(load.versions(since=over + 1)) == {another}
        first = next(answer.seconds for answer in load.answers if answer.version == another)
        share = load.versions(since=first, until=first + 15)
        assert 0.1 < share[another] / share.total() < 0.6


@pytest.mark.usefixtures("service")
class TestAfterwards:
    def test_the_inference_service_has_no_canary(self, kubectl: Kubectl):
        spec = kubectl.json("get", "inferenceservice", "-n", SERVING, NAME)["spec"]
        assert not spec.get("canary"), json.dumps(spec["canary"])
        assert left_over(kubectl) == []
