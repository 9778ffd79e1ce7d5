"""kserve/inference-service.yaml: its fields are KServe's, and its variables are the predictor's settings."""

from pathlib import Path

import pytest
import yaml
from kserve import V1beta1InferenceService, V1beta1InferenceServiceSpec, V1beta1PredictorSpec
from kubernetes.client import V1Container, V1Probe, V1SecurityContext

from predictor.settings import PredictorSettings

MANIFEST = Path(__file__).parents[2] / "kserve" / "inference-service.yaml"


@pytest.fixture(scope="module")
def service() -> dict:
    return yaml.safe_load(MANIFEST.read_text())


@pytest.fixture(scope="module")
def container(service) -> dict:
    (found,) = service["spec"]["predictor"]["containers"]
    return found


def test_every_field_of_the_predictor_is_one_that_kserve_knows(service):
    known = set(V1beta1PredictorSpec.attribute_map.values())
    assert set(service["spec"]["predictor"]) <= known
    assert service["apiVersion"] == "serving.kserve.io/v1beta1"
    assert service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    assert set(service["spec"]) <= set(V1beta1InferenceServiceSpec.attribute_map.values())
    assert set(service) <= set(V1beta1InferenceService.attribute_map.values())


def test_every_field_of_the_container_is_one_that_kubernetes_knows(container):
    assert set(container) <= set(V1Container.attribute_map.values())
    for name, kind in (("startupProbe", V1Probe), ("readinessProbe", V1Probe), ("livenessProbe", V1Probe)):
        assert set(container[name]) <= set(kind.attribute_map.values())
    assert set(container["securityContext"]) <= set(V1SecurityContext.attribute_map.values())


def test_its_variables_are_settings_of_the_predictor(container):
    variables = {item["name"]: item["value"] for item in container["env"]}
    assert variables["STORAGE_URI"].startswith("s3://")
    prefix = "RANKLIFT_PREDICTOR_"
    named = {name.removeprefix(prefix).lower() for name in variables if name.startswith(prefix)}
    assert named <= PredictorSettings.model_fields.keys()


def test_it_runs_unprivileged_and_drains_within_its_grace_period(service, container):
    predictor = service["spec"]["predictor"]
    assert predictor["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    variables = {item["name"]: item["value"] for item in container["env"]}
    drain = sum(float(variables[f"RANKLIFT_PREDICTOR_DRAIN_{part}"]) for part in ("DELAY", "TIMEOUT"))
    assert predictor["terminationGracePeriodSeconds"] > drain
