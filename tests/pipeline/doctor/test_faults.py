"""doctor finds each fault that people make in a cluster: one WRONG, with the command or the line that repairs it."""

import pytest

from components.deploy.cluster.inference_service import container_of
from components.object_store.client import ObjectStore
from tests.pipeline.conftest import change_service, doctor
from tests.pipeline.doctor.faults import FAULTS, S3_ENDPOINT, annotate
from tests.standins.cluster_store import ENDPOINT
from tests.standins.kserve_controller import POD_FAULTS, _pod


@pytest.mark.parametrize(("break_it", "check", "finding", "fix"), FAULTS.values(), ids=FAULTS)
def test_doctor_with_a_fault_planted_finds_it_alone_with_its_fix(cluster, break_it, check, finding, fix):
    break_it(cluster)
    status, found = doctor()
    assert status == 1
    assert [item["check"] for item in found.values() if item["state"] == "wrong"] == [check], found
    assert finding in found[check]["finding"]
    assert fix in found[check]["fix"]


def test_doctor_with_a_scheme_in_the_annotation_says_how_to_write_it(cluster):
    annotate(**{S3_ENDPOINT: "http://minio:9000"})(cluster)
    found = doctor()[1]["keys for the predictor"]
    assert "KServe puts a scheme before it" in found["finding"]
    assert "write it as minio:9000" in found["fix"]


def test_doctor_with_another_version_promoted_than_serves_names_the_command(cluster, registry):
    registry.move_champion("V1", registry.champion())
    status, found = doctor()
    assert status == 1
    assert [item["check"] for item in found.values() if item["state"] == "wrong"] == ["version in service"]
    assert "V1 is champion, and V0 is in service" in found["version in service"]["finding"]
    assert "`ranklift deploy V1 --namespace ranklift`" in found["version in service"]["fix"]


def test_doctor_with_a_version_that_cannot_come_up_says_so_once(cluster, registry):
    def name_v1(service):
        container_of(service)["env"] = [{"name": "RANKLIFT_PREDICTOR_MODEL_VERSION", "value": "V1"}]

    registry.move_champion("V1", registry.champion())
    change_service(name_v1)(cluster)
    pod = _pod(("inferenceservices", "ranklift", "ranklift"), "V1", "isvc.ranklift-predictor")
    cluster.put("pods", {**pod, "status": POD_FAULTS["image"]})
    _, found = doctor()
    assert [item["check"] for item in found.values() if item["state"] == "wrong"] == ["InferenceService"], found
    assert found["query"]["finding"].startswith("not checked: whether V1 answers: V0 still does")


def test_doctor_with_another_registry_than_was_deployed_from_refuses_it(cluster, registry):
    registry.store.delete("champion.json")
    registry.move_champion("V0", None)
    found = doctor()[1]["registry: champion"]
    assert (found["state"], "is not the registry that V0 was deployed from" in found["finding"]) == ("wrong", True)


def test_doctor_without_the_bucket_says_what_makes_it(cluster, registry):
    store = ObjectStore(registry.store.settings)
    for item in store.list():
        store.delete(item.key)
    store.request("DELETE", "")
    status, found = doctor()
    assert status == 1
    assert [item["check"] for item in found.values() if item["state"] == "wrong"] == ["registry"], found
    assert f"has no bucket {registry.store.settings.bucket}" in found["registry"]["finding"]
    assert "object-store-setup" in found["registry"]["fix"]


def test_doctor_with_settings_of_another_bucket_says_so_of_the_registry_alone(cluster, tmp_path):
    (tmp_path / "stages.yaml").write_text(
        f"object_store: {{endpoint: '{ENDPOINT}', bucket: nowhere, secret: ranklift-object-store}}"
    )
    _, found = doctor("--settings", str(tmp_path / "stages.yaml"))
    assert [item["check"] for item in found.values() if item["state"] == "wrong"] == ["registry"], found
    assert "has no bucket nowhere" in found["registry"]["finding"]


def test_doctor_with_faults_planted_covers_at_least_fifteen():
    assert len(FAULTS) >= 15
