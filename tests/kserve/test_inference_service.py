"""kserve/inference-service.yaml: its fields are KServe's, and its variables are the predictor's settings."""

import copy
import tomllib
from pathlib import Path

import pytest
import yaml

from predictor.settings import PredictorSettings
from tests.manifests.rendering import KUBERNETES, validate
from tests.manifests.sdk_schema import faults

MANIFEST = Path(__file__).parents[2] / "kserve" / "inference-service.yaml"


@pytest.fixture(scope="module")
def service() -> dict:
    return yaml.safe_load(MANIFEST.read_text())


@pytest.fixture(scope="module")
def container(service) -> dict:
    (found,) = service["spec"]["predictor"]["containers"]
    return found


def test_every_field_is_one_that_kserve_knows_and_has_its_type(service):
    assert faults(service, "V1beta1InferenceService") == []
    assert service["apiVersion"] == "serving.kserve.io/v1beta1"
    assert service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("spec", "predictors"), {}, "has no such field"),
        (("spec", "predictor", "minReplica"), 1, "has no such field"),
        (("spec", "predictor", "minReplicas"), "1", "is not of type int"),
        (("spec", "predictor", "containers"), {}, "is not a list[V1Container]"),
        (("spec", "predictor", "containers", 0, "readinessprobe"), {}, "has no such field"),
        (("spec", "predictor", "containers", 0, "livenessProbe", "httpGet"), {"path": "/"}, "`port`"),
        (("spec", "predictor", "deploymentStrategy", "kind"), "Recreate", "has no such field"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_field_that_kserve_does_not_know_is_found(service, path, value, fault):
    broken = copy.deepcopy(service)
    *parents, last = path
    place = broken
    for parent in parents:
        place = place[parent]
    place[last] = value
    assert any(fault in found for found in faults(broken, "V1beta1InferenceService"))


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_deployment_that_kserve_makes_of_it_is_one_that_kubernetes_takes(service, version):
    predictor = dict(service["spec"]["predictor"])
    strategy = predictor.pop("deploymentStrategy")
    annotations = predictor.pop("annotations")
    for field in ("minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "timeout"):
        predictor.pop(field)
    labels = {"serving.kserve.io/inferenceservice": service["metadata"]["name"], "component": "predictor"}
    validate(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "ranklift-predictor", "namespace": service["metadata"]["namespace"]},
            "spec": {
                "selector": {"matchLabels": labels},
                "strategy": strategy,
                "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": predictor},
            },
        },
        version,
    )


def test_replicas_follow_the_load(service, container):
    """KServe makes a HorizontalPodAutoscaler of these; on CPU it needs the request that it takes its percentage of."""
    predictor = service["spec"]["predictor"]
    assert 1 <= predictor["minReplicas"] < predictor["maxReplicas"]
    assert predictor["scaleMetric"] == "cpu" and 0 < predictor["scaleTarget"] < 100
    assert container["resources"]["requests"]["cpu"]
    assert "serving.kserve.io/autoscalerClass" not in service["metadata"]["annotations"], "hpa is the default"


def test_a_new_version_is_ready_before_an_old_pod_goes(service):
    assert service["spec"]["predictor"]["deploymentStrategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_its_image_is_of_this_release(container):
    release = tomllib.loads((MANIFEST.parents[1] / "pyproject.toml").read_text())["project"]["version"]
    assert container["image"] == f"ranklift-predictor:{release}"
    assert container["imagePullPolicy"] == "IfNotPresent", "a node that has the image needs no registry"


def test_its_variables_are_settings_of_the_predictor(container):
    variables = {item["name"]: item["value"] for item in container["env"]}
    assert variables["STORAGE_URI"].startswith("s3://")
    assert variables["STORAGE_URI"].endswith("/"), "it is a prefix: without the slash V1 is V10 as well"
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
