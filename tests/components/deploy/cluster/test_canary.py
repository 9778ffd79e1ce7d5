"""A canary comes and goes, forwards and backwards, and no request ever goes to one that is not there."""

import os
import signal

import pytest

from components.deploy.cluster import attempt
from components.deploy.cluster.inference_service import Revision, canary_entry_of, canary_of, revision_of
from components.deploy.cluster.patches import canary_at, canary_beside, changed
from components.errors import RankliftError, StoppedError
from tests.components.deploy.conftest import service_of
from tests.standins.kubernetes_state import RefusalError

CANARY = {"canary_percent": 10, "canary_seconds": 0}
AUTOSCALER = ("horizontalpodautoscalers", "ranklift", "ranklift-canary-predictor")


@pytest.fixture
def steps(cluster, kserve):
    """What the InferenceService asked for after each apply: stable version, the canary's, its share."""
    seen = []
    reconcile = cluster.on_apply

    def note(key, service):
        canary, entry = canary_of(service), canary_entry_of(service)
        seen.append((revision_of(service).version, canary and canary.version, entry and entry["trafficPercent"]))
        reconcile(key, service)

    cluster.on_apply = note
    return seen


def test_put_rolls_the_stable_predictor_first_then_ends_the_share_then_the_canary(deploy, steps, kserve, cluster):
    assert deploy("V1", **CANARY) == "V1"
    assert steps == [("V0", "V1", 10), ("V1", "V1", 10), ("V1", "V1", 0), ("V1", None, None)]
    assert kserve.cut_off == []
    assert AUTOSCALER not in cluster.objects


@pytest.mark.parametrize(("replicas", "percent", "pods"), [(1, 10, 1), (4, 30, 2), (10, 30, 3), (3, 99, 3)])
def test_canary_beside_keeps_its_replicas_whatever_its_share_becomes(cluster, kserve, replicas, percent, pods):
    service = service_of(cluster)
    service["spec"]["predictor"]["minReplicas"] = replicas
    entry = canary_beside(service, Revision("V1", "s3://b/models/V1/", 1, label="V1"), percent)
    assert entry["predictor"]["minReplicas"] == pods
    service["spec"]["canary"] = [entry]
    assert canary_at(service, 0) == {**entry, "trafficPercent": 0}


def test_canary_beside_a_predictor_that_may_scale_to_zero_is_left_to_kserve(cluster, kserve):
    """KServe refuses a canary with more replicas than the stable predictor's minimum."""
    service = service_of(cluster)
    service["spec"]["predictor"]["minReplicas"] = 0
    entry = canary_beside(service, Revision("V1", "s3://b/models/V1/", 1, label="V1"), 10)
    assert not {"minReplicas", "annotations"} & entry["predictor"].keys()


def test_put_whose_stable_pods_fail_goes_back_and_takes_the_canary_along(deploy, steps, kserve, cluster):
    reconcile = cluster.on_apply

    def fail_once_stable(key, service):
        if revision_of(service).version == "V1":
            kserve.faults["V1"] = "crash"
        reconcile(key, service)

    cluster.on_apply = fail_once_stable
    with pytest.raises(RankliftError, match=r"(?s)exit code 3.*V0 serves again"):
        deploy("V1", **CANARY)
    assert steps[1:] == [("V1", "V1", 10), ("V0", "V1", 0), ("V0", None, None)]
    assert kserve.cut_off == []
    assert kserve.hosts == {"ranklift-predictor.ranklift.svc.cluster.local": ["V0"]}


def test_sigterm_while_the_canary_serves_ends_its_share_before_it_goes(deploy, steps, kserve, cluster):
    def stop(request):
        if request.verb == "watch" and canary_of(service_of(cluster)) and kserve.asked[-1][1] == "V1":
            os.kill(os.getpid(), signal.SIGTERM)

    cluster.before_answer = stop
    with pytest.raises(StoppedError, match=r"SIGTERM stopped it.*V0 serves again") as stopped:
        deploy("V1", canary_percent=10, canary_seconds=30)
    assert stopped.value.exit_status == 143
    assert steps == [("V0", "V1", 10), ("V0", "V1", 0), ("V0", None, None)]
    assert kserve.cut_off == []


@pytest.mark.parametrize(
    ("stable", "share"),
    [
        pytest.param(None, 10, id="the canary serves"),
        pytest.param(None, 0, id="going back"),
        pytest.param("V1", 10, id="the stable predictor rolls"),
        pytest.param("V1", 0, id="the share is gone"),
    ],
)
@pytest.mark.parametrize("settings", [CANARY, {}], ids=["with a canary", "without"])
@pytest.mark.parametrize("version", ["V1", "V2"])
def test_a_deploy_after_one_that_was_killed_goes_on_from_what_is_there(
    deploy, kserve, cluster, stable, share, settings, version
):
    interrupted(cluster, stable, share)
    assert deploy(version, **settings) == version
    assert (revision_of(service_of(cluster)).version, canary_of(service_of(cluster))) == (version, None)
    assert kserve.cut_off == []


def test_a_deploy_after_one_that_was_killed_goes_back_to_what_served_before_that(deploy, kserve, cluster):
    kserve.faults |= {"V1": "slow", "V2": "crash"}
    interrupted(cluster, "V1", 10)
    with pytest.raises(RankliftError, match="V0 serves again"):
        deploy("V2")
    assert (revision_of(service_of(cluster)).version, canary_of(service_of(cluster))) == ("V0", None)
    assert kserve.cut_off == []


def test_a_gateway_that_does_not_follow_keeps_the_canary_until_the_next_deploy(deploy, kserve, cluster, monkeypatch):
    monkeypatch.setattr(attempt, "_ROUTE_WITHIN", 2.0)
    kserve.gateway_follows = False
    assert deploy("V1", **CANARY) == "V1"
    assert "the gateway does not follow, so the canary stays with 0 %" in deploy.told[-2]
    assert canary_entry_of(service_of(cluster))["trafficPercent"] == 0
    kserve.gateway_follows = True
    cluster.delete("httproutes", "ranklift", "ranklift")
    assert deploy("V1") == "V1"
    assert canary_of(service_of(cluster)) is None


def test_who_may_not_read_routes_waits_blindly_and_is_told_the_rule(deploy, kserve, cluster):
    cluster.denied.add(("get", "httproutes"))
    assert deploy("V1", **CANARY) == "V1"
    rule = "{apiGroups: [gateway.networking.k8s.io], resources: [httproutes], verbs: [get]}"
    assert any(rule in line for line in deploy.told)
    assert canary_of(service_of(cluster)) is None


@pytest.mark.parametrize("version", ["V1", "V0"], ids=["forwards", "backwards"])
def test_a_canary_that_cannot_be_removed_stays_for_the_next_deploy(deploy, kserve, cluster, version):
    def refuse(request):
        if request.resource == "httproutes":
            raise RefusalError(500, "etcdserver: request timed out")

    cluster.before_answer = refuse
    if version == "V0":
        kserve.faults["V1"] = "wrong answers"
        with pytest.raises(RankliftError, match="V0 serves again"):
            deploy("V1", **CANARY, deploy_within=2)
    else:
        assert deploy("V1", **CANARY) == "V1"
    assert any("the canary could not be removed" in line for line in deploy.told)
    cluster.before_answer = lambda request: None
    kserve.faults.clear()
    assert deploy("V2") == "V2"
    assert canary_of(service_of(cluster)) is None
    assert kserve.cut_off == []


def test_a_cluster_without_gateway_has_no_route_to_wait_for(deploy, kserve, cluster):
    cluster.unknown.add("httproutes")
    assert deploy("V1", **CANARY) == "V1"
    assert canary_of(service_of(cluster)) is None


def interrupted(cluster, stable, share):
    """Leave the InferenceService as a deploy of V1 does that is killed at a step."""
    service = service_of(cluster)
    there = revision_of(service)
    uri = there.storage_uri.replace("V0", "V1")
    revision = Revision("V1", uri, 1, previous="V0", label="V1")
    entry = {**canary_beside(service, revision, 10), "trafficPercent": share}
    cluster.apply(
        "inferenceservices", "ranklift", "ranklift", changed(service, revision if stable else None, entry), "ranklift"
    )
