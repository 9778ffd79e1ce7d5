"""A version that cannot come up: what served serves again, and the pod's reason is told."""

import copy
from collections.abc import Callable
from contextlib import contextmanager

import pytest

from tests.cluster.conftest import NAME, SERVING, ranklift
from tests.cluster.gateway import Gateway
from tests.cluster.kubectl import Document, Kubectl, until


def container(document: Document) -> Document:
    return document["spec"]["predictor"]["containers"][0]


def with_a_bad_image(document: Document) -> None:
    container(document)["image"] = "ranklift-predictor:never-built"


def with_little_memory(document: Document) -> None:
    container(document)["resources"] = {"requests": {"cpu": "50m", "memory": "40Mi"}, "limits": {"memory": "40Mi"}}


def with_no_node(document: Document) -> None:
    container(document)["resources"] = {
        "requests": {"cpu": "500", "memory": "64Mi"},  # KServe has defaults of its own for what is left out
        "limits": {"cpu": "500", "memory": "1Gi"},
    }


FAULTS = [
    pytest.param(with_a_bad_image, ("never-built",), id="bad image"),
    pytest.param(with_little_memory, ("OOMKilled", "ran out of memory"), id="out of memory"),
    pytest.param(with_no_node, ("Insufficient cpu", "not scheduled"), id="no node"),
]


class TestADeployThatCannotComeUp:
    @pytest.fixture
    def within(self) -> dict[str, str]:
        return {"RANKLIFT_DEPLOY_WITHIN": "90"}

    @contextmanager
    def changed(self, kubectl: Kubectl, service: Document, change: Callable[[Document], None]):
        """The manifest with a fault that shows when the next pod starts; the pod that serves stays as it is."""
        document = copy.deepcopy(service)
        change(document)
        kubectl.apply(document)
        try:
            yield
        finally:
            kubectl.apply(service)
            kubectl("rollout", "status", "-n", SERVING, f"deployment/{NAME}-predictor", "--timeout=180s", timeout=190)

    @pytest.mark.parametrize(("change", "words"), FAULTS)
    def test_deploy_puts_back_what_served_and_names_the_pods_reason(
        self, kubectl: Kubectl, gateway: Gateway, service, another, within, change, words
    ):
        with self.changed(kubectl, service, change):
            result = ranklift("deploy", another, "--namespace", SERVING, **within)
            assert result.returncode == 2, result.stdout
            assert any(word in result.stderr for word in words), result.stderr
            assert gateway.version() == "V0"

    def test_deploy_of_a_version_without_files_puts_back_what_served(
        self, kubectl: Kubectl, gateway: Gateway, store, registry, another, within
    ):
        for item in list(store.list(f"models/{another}/")):
            if item.key.endswith(("encoder.bin", "encoder.xml")):
                store.delete(item.key)
        result = ranklift("deploy", another, "--namespace", SERVING, **within)
        assert result.returncode == 2, result.stdout
        assert another in result.stderr
        until(lambda: gateway.version() == "V0", 60, "an answer of V0")
