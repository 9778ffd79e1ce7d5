"""What the manifests limit fits what the code does: names, numbers and labels are said in two places and must agree."""

import re
from pathlib import Path

import pytest
import yaml
from kubernetes.utils.quantity import parse_quantity

from pipeline.compile import compile_pipeline
from pipeline.settings.file import STAGES, PipelineSettings
from pipeline.settings.tasks import STAGE_LABEL
from pipeline.settings.units import seconds
from predictor.settings import PredictorSettings
from tests.manifests.rendering import KUBERNETES, PROJECT, find, validate

DEPLOY = PROJECT / "components" / "deploy" / "cluster" / "inference_service.py"
OVERLAYS = ("overlays/kind", "overlays/cluster")


@pytest.fixture(scope="module")
def settings() -> PipelineSettings:
    return PipelineSettings.read(PROJECT / "stages.yaml")


@pytest.fixture(scope="module")
def limits(rendered) -> dict[str, re.Pattern[str]]:
    """The variables that the admission policy lets deploy write → what each may say."""
    policy = find(rendered("overlays/kind"), "ValidatingAdmissionPolicy", "ranklift-deploy-limits")
    (said,) = [item["expression"] for item in policy["spec"]["variables"] if item["name"] == "limits"]
    return {name: re.compile(pattern) for name, pattern in yaml.safe_load(said).items()}


@pytest.mark.parametrize("name", ["ranklift-deploy-limits", "ranklift-run-account"])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_admission_policy_is_bound_and_denies(rendered, overlay, name):
    documents = rendered(overlay)
    policy = find(documents, "ValidatingAdmissionPolicy", name)
    binding = find(documents, "ValidatingAdmissionPolicyBinding", name)
    for document in (policy, binding):
        validate(document, KUBERNETES[-1])
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert (binding["spec"]["policyName"], binding["spec"]["validationActions"]) == (name, ["Deny"])
    namespace = binding["spec"]["matchResources"]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    assert namespace in {document["metadata"].get("namespace") for document in documents}


def test_deploy_may_write_the_variables_that_it_writes_and_no_others(limits):
    written = re.findall(r'^[A-Z_]+ = "(STORAGE_URI|RANKLIFT_[A-Z0-9_]+)"$', DEPLOY.read_text(), re.MULTILINE)
    assert len(written) == 9
    assert limits.keys() == set(written)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STORAGE_URI", "s3://ranklift/models/V0"),
        ("STORAGE_URI", "s3://ranklift/models/V12/"),
        ("RANKLIFT_PREDICTOR_MODEL_VERSION", "V3"),
        ("RANKLIFT_PREDICTOR_MANIFEST_SHA256", ""),
        ("RANKLIFT_PREDICTOR_MANIFEST_SHA256", "ab" * 32),
        ("RANKLIFT_PREDICTOR_MODEL_DIR", "/mnt/models/model"),
        ("RANKLIFT_PREDICTOR_INDEX_DIR", "/mnt/models/index"),
        ("RANKLIFT_PREDICTOR_INDEX_MANIFEST_SHA256", "ef" * 32),
        ("RANKLIFT_CHAMPION_NUMBER", "17"),
        ("RANKLIFT_CHAMPION_HEAD", "cd" * 32),
        ("RANKLIFT_PREVIOUS_VERSION", "V2"),
    ],
)
def test_value_that_deploy_writes_is_within_the_limits(limits, name, value):
    assert limits[name].search(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("STORAGE_URI", "s3://other/models/V0", id="another-bucket"),
        pytest.param("STORAGE_URI", "s3://ranklift/models/../training/V0", id="out-of-models"),
        pytest.param("STORAGE_URI", "s3://ranklift/models/V0/$(SECRET)", id="expansion-in-the-address"),
        pytest.param("STORAGE_URI", "https://example.com/V0", id="another-protocol"),
        pytest.param("RANKLIFT_PREDICTOR_MODEL_VERSION", "V0 ", id="no-version"),
        pytest.param("RANKLIFT_PREDICTOR_INDEX_DIR", "/var/run/secrets", id="another-folder"),
        pytest.param("RANKLIFT_CHAMPION_HEAD", "$(AWS_SECRET_ACCESS_KEY)", id="expansion"),
    ],
)
def test_value_that_deploy_has_no_reason_to_write_is_outside_the_limits(limits, name, value):
    assert not limits[name].search(value)


def test_limits_are_about_the_bucket_and_the_service_of_the_settings(limits, rendered, settings):
    assert limits["STORAGE_URI"].search(f"s3://{settings.object_store.bucket}/models/V0")
    rule = find(rendered("overlays/kind"), "Role", "ranklift-deploy", settings.serving.namespace)["rules"][0]
    assert rule["resourceNames"] == [settings.serving.inference_service]


def test_accounts_of_the_settings_are_those_of_the_manifests(rendered, settings):
    documents = rendered("overlays/kind")
    find(documents, "ServiceAccount", settings.service_account, "kubeflow")
    token = find(documents, "Secret", settings.serving.token_secret, "kubeflow")
    assert token["metadata"]["annotations"]["kubernetes.io/service-account.name"] == "ranklift-deploy"
    policy = find(documents, "ValidatingAdmissionPolicy", "ranklift-run-account")
    assert f"'{settings.service_account}'" in policy["spec"]["validations"][0]["expression"]


def test_stages_that_are_not_cached_do_not_reach_the_api(rendered, settings, tmp_path: Path):
    compile_pipeline(
        tmp_path / "pipeline.yaml", settings=settings, defaults={"base_models": "a/b,c/d"}
    )  # with every stage
    pipeline = next(yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text()))
    parts = [pipeline["root"], *pipeline["components"].values()]
    tasks = [task for part in parts for task in part.get("dag", {}).get("tasks", {}).values()]
    cached = {
        task["componentRef"]["name"].removeprefix("comp-")
        for task in tasks
        if task.get("cachingOptions", {}).get("enableCache")
    }
    assert cached, "some are"
    ends = ("cached-stages-and-drivers-to-the-api", "api-from-cached-stages-and-drivers")
    to, sent = (find(rendered("overlays/kind"), "NetworkPolicy", name, "kubeflow")["spec"] for name in ends)
    selectors = (to["podSelector"], sent["ingress"][0]["from"][0]["podSelector"])
    for selector in selectors:
        (rule,) = [item for item in selector["matchExpressions"] if item["key"] == STAGE_LABEL]
        assert (rule["operator"], set(rule["values"])) == ("NotIn", set(STAGES) - cached)


def test_smoke_query_is_allowed_from_the_stage_that_asks_it(rendered):
    documents = rendered("overlays/kind")
    label = {STAGE_LABEL: "deploy"}
    egress = find(documents, "NetworkPolicy", "smoke-query-to-the-predictor", "kubeflow")
    ingress = find(documents, "NetworkPolicy", "smoke-query-from-the-pipeline", "ranklift")
    assert egress["spec"]["podSelector"]["matchLabels"] == label
    assert ingress["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"] == label


def test_metrics_are_where_prometheus_looks_and_the_gateway_does_not(rendered, inference_service):
    predictor = inference_service["spec"]["predictor"]
    (container,) = predictor["containers"]
    flags = dict(argument.removeprefix("--").split("=") for argument in container["args"])
    assert predictor["annotations"]["prometheus.io/port"] == flags["metrics_port"]
    # KServe makes a port of its Service of each that is listed, and the gateway routes the first.
    assert [port["containerPort"] for port in container["ports"]] == [int(flags["http_port"])]
    assert flags["pages"] == "false"
    policy = find(rendered("overlays/kind"), "NetworkPolicy", "metrics-from-monitoring", "ranklift")
    assert policy["spec"]["ingress"][0]["ports"] == [{"port": int(flags["metrics_port"]), "protocol": "TCP"}]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_gateway_limits_fit_those_of_the_predictor(rendered, inference_service, overlay):
    documents = rendered(overlay)
    client, backend = (
        find(documents, kind, "kserve-ingress-gateway", "kserve")["spec"]
        for kind in ("ClientTrafficPolicy", "BackendTrafficPolicy")
    )
    for policy in (client, backend):
        (target,) = policy["targetRefs"]
        find(documents, target["kind"], target["name"], "kserve")
    predictor = PredictorSettings()
    assert parse_quantity(backend["requestBuffer"]["limit"]) == predictor.max_body_bytes
    assert seconds(client["timeout"]["http"]["requestReceivedTimeout"]) > predictor.body_timeout
    whole = predictor.body_timeout + predictor.request_timeout
    assert inference_service["spec"]["predictor"]["timeout"] > whole
    assert seconds(backend["timeout"]["http"]["requestTimeout"]) > whole


def test_gateway_counts_every_client_address_by_itself(rendered):
    policy = find(rendered("overlays/kind"), "BackendTrafficPolicy", "kserve-ingress-gateway", "kserve")["spec"]
    assert policy["rateLimit"]["type"] == "Local"
    rules = policy["rateLimit"]["local"]["rules"]
    sources = [selector["sourceCIDR"] for rule in rules for selector in rule["clientSelectors"]]
    assert {source["value"] for source in sources} == {"0.0.0.0/0", "::/0"}
    assert {source["type"] for source in sources} == {"Distinct"}
