"""doctor on a cluster: nothing to fix where all is well, and each fault found by one check, with what repairs it."""

import json
from collections.abc import Callable

import pytest

from components.object_store.client import ObjectStore
from tests.cluster.conftest import SERVING, ranklift
from tests.cluster.doctor_faults import FAULTS, Fault
from tests.cluster.faults import Site
from tests.cluster.kubectl import Document, Kubectl
from tests.cluster.runs import Pipelines

Found = dict[str, dict[str, str]]
Doctor = Callable[..., Found]

#: What doctor may leave unchecked where all is well: this machine's own parts, and what this cluster may not have.
UNCHECKED = {"parts", "predictor", "object store", "images", "NetworkPolicies", "Kubeflow Trainer"}


@pytest.fixture(scope="module")
def site(kubectl: Kubectl, pipelines: Pipelines, store: ObjectStore, service: Document, tmp_path_factory) -> Site:
    """The cluster in which all is well: V0 is champion, and serves."""
    return Site(kubectl, store, pipelines.settings, tmp_path_factory.mktemp("doctor"))


@pytest.fixture(scope="module")
def doctor(site: Site, pipelines: Pipelines) -> Doctor:
    """What each check of `ranklift doctor` found."""
    usual = ("--namespace", SERVING, "--endpoint", pipelines.endpoint, "--settings", str(site.settings), "--json")

    def examine(*arguments: str, **variables: str) -> Found:
        result = ranklift("doctor", *usual, *arguments, RANKLIFT_HOME=str(site.folder / "home"), **variables)
        found: Found = {item["check"]: item for item in json.loads(result.stdout)}
        assert result.returncode == (1 if wrong(found) else 0), result.stderr
        return found

    return examine


def wrong(found: Found) -> dict[str, str]:
    """The checks that found a fault, and what they found."""
    return {name: item["finding"] for name, item in found.items() if item["state"] == "wrong"}


def check_all_is_well(doctor: Doctor) -> None:
    found = doctor()
    assert wrong(found) == {}
    assert {name for name, item in found.items() if item["state"] == "skipped"} <= UNCHECKED, found


def test_doctor_on_a_healthy_cluster_has_nothing_to_fix(doctor: Doctor):
    check_all_is_well(doctor)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_doctor_with_a_fault_planted_finds_it_alone_with_its_fix(site: Site, doctor: Doctor, fault: Fault):
    with fault.plant(site) as arguments:
        found = doctor(*arguments)
    assert list(wrong(found)) == [fault.check], wrong(found)
    said = found[fault.check]
    assert fault.finding in said["finding"]
    assert fault.fix in (said["fix"] or said["finding"])


def test_doctor_with_an_image_that_no_node_has_names_it(doctor: Doctor):
    found = doctor(RANKLIFT_IMAGE_TAG="never-built")["images"]
    # A node that lists as many images as it may cannot tell of the rest.
    state, advice = ("skipped", "crictl images") if "lists at most" in found["finding"] else ("wrong", "make kind-load")
    assert "ranklift-deploy:never-built" in found["finding"]
    assert (found["state"], advice in found["finding"] + found["fix"]) == (state, True)


def test_doctor_with_a_version_promoted_that_does_not_serve_names_the_command(doctor: Doctor, another: str):
    found = doctor()
    assert list(wrong(found)) == ["version in service"]
    assert f"{another} is champion, and V0 is in service" in found["version in service"]["finding"]
    assert f"`ranklift deploy {another} --namespace {SERVING}`" in found["version in service"]["fix"]


def test_doctor_after_every_fault_has_nothing_to_fix(doctor: Doctor):
    check_all_is_well(doctor)
