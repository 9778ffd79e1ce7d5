"""doctor never stumbles over an object of the API: every field of each may be missing or null."""

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.kubernetes.forward import PodForward
from pipeline.cluster.store import Place
from pipeline.doctor import access, cluster, kserve, limits, pipelines, trainer
from pipeline.doctor.cluster import Cluster
from pipeline.doctor.result import Result, run_checks
from pipeline.doctor.sound import SoundApi
from pipeline.settings.file import PipelineSettings
from tests.components.deploy.conftest import MANIFEST
from tests.standins.cluster_store import store_objects
from tests.standins.doctor_cluster import healthy
from tests.standins.kserve_controller import POD_FAULTS, KServe, _pod
from tests.standins.kubernetes_api import serving
from tests.standins.kubernetes_state import Cluster as StandIn

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
#: All that read objects; what reads the registry itself is about the store, which is another test's.
CHECKS = (*cluster.CHECKS, *access.CHECKS, *kserve.CHECKS, *limits.CHECKS, *pipelines.CLUSTER_CHECKS, *trainer.CHECKS)
SETTINGS = PipelineSettings.model_validate(
    {"object_store": {"endpoint": "http://127.0.0.1:1", "secret": "ranklift-object-store"}, "train_job": {"cpu": 2},
     "service_account": "ranklift-pipeline"}
)  # fmt: skip


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """A cluster with every kind that doctor reads, and a pod that fails; its store is down."""
    import yaml

    there = StandIn()
    service = yaml.safe_load(MANIFEST.read_text())
    service["spec"]["canary"] = [
        {"trafficPercent": 10, "predictor": {"name": "canary", **copy.deepcopy(service["spec"]["predictor"])}}
    ]
    KServe(there, {"V0": "d" * 64}).install(service)
    for plural, item in (*store_objects(KEYS), *healthy("ranklift", KEYS)):
        there.put(plural, item)
    for number, state in enumerate(POD_FAULTS.values()):
        pod = {
            **_pod(("inferenceservices", "ranklift", "ranklift"), "V0", "isvc.ranklift-predictor"),
            "status": copy.deepcopy(state),
        }
        pod["metadata"]["name"] = f"pod-{number}"
        there.put("pods", pod)
    there.put("horizontalpodautoscalers", {"metadata": {"name": "ranklift-canary-predictor", "namespace": "ranklift"}})
    there.put("clustertrainingruntimes", {"metadata": {"name": "torch-distributed"}})
    folder = tmp_path_factory.mktemp("api")
    with serving(there, folder) as environment, pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", environment["KUBECONFIG"])
        patch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        yield there


def look(stand_in: StandIn) -> list[Result]:
    api = SoundApi.connect()
    with PodForward(api) as forward:
        examined = Cluster(api, Place("ranklift", "ranklift", "kubeflow"), SETTINGS, forward)
        try:
            return run_checks(CHECKS, examined)
        finally:
            examined.close()


def paths(value, before=()):
    """The path of every field of an object, and of every entry of its lists."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in children:
        yield (*before, name)
        yield from paths(child, (*before, name))


def without(item, path, null):
    """A copy of an object that lacks a field, or has null there."""
    changed = copy.deepcopy(item)
    place = changed
    for name in path[:-1]:
        place = place[name]
    if null:
        place[path[-1]] = None
    else:
        del place[path[-1]]
    return changed


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_doctor_with_a_field_missing_or_null_never_raises(stand_in, data):
    key = data.draw(st.sampled_from(sorted(stand_in.objects)), label="object")
    item = stand_in.objects[key]
    path = data.draw(st.sampled_from(list(paths(item))), label="field")
    stand_in.objects[key] = without(item, path, data.draw(st.booleans(), label="null"))
    try:
        found = look(stand_in)
    finally:
        stand_in.objects[key] = item
    assert len(found) == len(CHECKS)
    assert all(result.finding for result in found)


@pytest.mark.parametrize("part", ["metadata", "spec", "status", "data"])
def test_doctor_with_a_part_of_every_object_missing_never_raises(stand_in, part):
    before = dict(stand_in.objects)
    try:
        for key, item in before.items():
            stand_in.objects[key] = {name: value for name, value in item.items() if name != part}
        assert len(look(stand_in)) == len(CHECKS)
    finally:
        stand_in.objects.update(before)


@pytest.mark.parametrize(
    "version", [{}, {"major": None, "minor": None}, {"major": "1"}, {"major": "one", "minor": "+"}]
)
def test_check_version_without_a_version_says_it_was_not_checked(stand_in, monkeypatch, version):
    monkeypatch.setattr(stand_in, "version", version)
    (found,) = (result for result in look(stand_in) if result.check == "Kubernetes")
    assert (found.state, "does not tell its version" in found.finding) == ("skipped", True)
