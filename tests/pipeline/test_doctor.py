"""doctor: each thing that people get wrong is found and comes with its fix, against a real API server on loopback."""

import base64
import json

import pytest
import yaml
from typer.testing import CliRunner

from components.deploy.inference_service import container_of
from pipeline.cli import app
from tests.components.deploy.conftest import MANIFEST
from tests.kserve_controller import POD_FAULTS, KServe, _pod
from tests.kubernetes_api import Cluster, serving
from tests.pipelines_api import Pipelines
from tests.pipelines_api import serving as serving_pipelines

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
S3_ENDPOINT = "serving.kserve.io/s3-endpoint"
IMAGE = "ranklift-predictor:0.1.0"


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A cluster in which all is well."""
    cluster = Cluster()
    kserve = KServe(cluster, {"V0": "d" * 64})
    kserve.install(yaml.safe_load(MANIFEST.read_text()))
    for plural, item in healthy():
        cluster.put(plural, item)
    for name in ("RANKLIFT_S3_ENDPOINT", "RANKLIFT_KFP_ENDPOINT", "KF_PIPELINES_ENDPOINT", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RANKLIFT_HOME", str(tmp_path / "home"))
    with serving(cluster, tmp_path) as environment:
        monkeypatch.setenv("KUBECONFIG", environment["KUBECONFIG"])
        yield cluster


def healthy():
    yield "nodes", {"metadata": {"name": "node"}, "status": {"images": [{"names": [f"docker.io/library/{IMAGE}"]}]}}
    yield "secrets", secret("ranklift-object-store", "kubeflow")
    notes = {S3_ENDPOINT: "minio.ranklift.svc:9000", "serving.kserve.io/s3-usehttps": "0"}
    yield "secrets", secret("ranklift-object-store", "ranklift", notes)
    account = {"metadata": {"name": "ranklift-predictor", "namespace": "ranklift"}}
    yield "serviceaccounts", account | {"secrets": [{"name": "ranklift-object-store"}]}
    names = dict(zip(("accessKeyKey", "secretKeyKey"), KEYS, strict=True))
    provider = {
        "endpoint": "minio.ranklift.svc:9000", "disableSSL": True,
        "credentials": {"fromEnv": False, "secretRef": {"secretName": "ranklift-object-store", **names}},
    }  # fmt: skip
    launcher = {"defaultPipelineRoot": "s3://ranklift/runs", "providers": yaml.safe_dump({"s3": {"default": provider}})}
    yield "configmaps", {"metadata": {"name": "kfp-launcher", "namespace": "kubeflow"}, "data": launcher}
    yield "configmaps", inferenceservice_config(enableGatewayApi=True)
    yield "deployments", deployment("kserve-controller-manager", "kserve", "kserve/kserve-controller:v0.21.0")
    yield "deployments", deployment("ml-pipeline", "kubeflow", "ghcr.io/kubeflow/kfp-api-server:2.17.0")
    yield "certificates", certificate("True")
    yield "validatingwebhookconfigurations", webhook("Y2E=")
    gateway = {"metadata": {"name": "kserve-ingress-gateway", "namespace": "kserve"}}
    yield "gateways", gateway | {"status": {"conditions": [{"type": "Programmed", "status": "True"}]}}
    yield "httproutes", route("True")


def secret(name, namespace, annotations=None, keys=KEYS):
    data = {key: base64.b64encode(value.encode()).decode() for key, value in keys.items()}
    return {"metadata": {"name": name, "namespace": namespace, "annotations": annotations or {}}, "data": data}


def inferenceservice_config(**ingress):
    data = {"ingress": json.dumps(ingress), "deploy": json.dumps({"defaultDeploymentMode": "Serverless"})}
    return {"metadata": {"name": "inferenceservice-config", "namespace": "kserve"}, "data": data}


def deployment(name, namespace, image):
    pod = {"spec": {"containers": [{"name": "manager", "image": image}]}}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"template": pod}}


def certificate(ready):
    condition = {"type": "Ready", "status": ready, "message": "issuer not found"}
    return {"metadata": {"name": "serving-cert", "namespace": "kserve"}, "status": {"conditions": [condition]}}


def webhook(bundle):
    hooks = [{"name": "validator", "clientConfig": {"caBundle": bundle}}]
    return {"metadata": {"name": "inferenceservice.serving.kserve.io"}, "webhooks": hooks}


def route(accepted):
    conditions = [
        {"type": "Accepted", "status": accepted, "message": "no listener allows it"},
        {"type": "ResolvedRefs", "status": "True"},
    ]
    return {
        "metadata": {"name": "ranklift", "namespace": "ranklift"},
        "status": {"parents": [{"conditions": conditions}]},
    }


def doctor(*arguments):
    result = CliRunner().invoke(app, ["doctor", "--namespace", "ranklift", "--json", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, {item["check"]: item for item in json.loads(result.stdout)}


def test_a_cluster_in_which_all_is_well_has_nothing_to_fix(cluster):
    status, found = doctor()
    assert [item for item in found.values() if item["state"] == "wrong"] == []
    assert status == 0
    checks = (
        "Kubernetes", "images", "keys for the runs", "keys for the predictor", "KFP's launcher", "KServe",
        "KServe's mode", "KServe's webhooks", "gateway", "route", "InferenceService", "Kubeflow Pipelines",
    )  # fmt: skip
    assert {check: found[check]["state"] for check in checks} == dict.fromkeys(checks, "ok")


def put(plural, item):
    return lambda cluster: cluster.put(plural, item)


def remove(plural, namespace, name):
    return lambda cluster: cluster.delete(plural, namespace, name)


def change_service(change):
    def act(cluster):
        service = cluster.get("inferenceservices", "ranklift", "ranklift")
        change(service)
        cluster.put("inferenceservices", service)

    return act


BROKEN = [
    pytest.param(lambda c: c.version.update(minor="29"), "Kubernetes", "1.29", "1.32 or newer", id="old Kubernetes"),
    pytest.param(
        put("nodes", {"metadata": {"name": "node"}}), "images", f"no node has {IMAGE}", "make kind-load", id="no image"
    ),
    pytest.param(
        remove("secrets", "kubeflow", "ranklift-object-store"), "keys for the runs",
        "no Secret ranklift-object-store in namespace kubeflow", "kubectl create secret generic", id="no Secret",
    ),
    pytest.param(
        put("secrets", secret("ranklift-object-store", "kubeflow", keys={"accesskey": "x"})), "keys for the runs",
        "has no AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY", "add what is missing", id="other keys",
    ),
    pytest.param(
        put("serviceaccounts", {"metadata": {"name": "ranklift-predictor", "namespace": "ranklift"}}),
        "keys for the predictor", "no Secret with the annotation serving.kserve.io/s3-endpoint", "`secrets:`",
        id="no Secret at the ServiceAccount",
    ),
    pytest.param(
        put("secrets", secret("ranklift-object-store", "ranklift", {S3_ENDPOINT: "http://minio:9000"})),
        "keys for the predictor", "KServe puts a scheme before it", "write it as minio:9000", id="a scheme too much",
    ),
    pytest.param(
        remove("configmaps", "kubeflow", "kfp-launcher"), "KFP's launcher", "artifacts go to KFP's own store",
        "kubectl apply -k", id="no launcher ConfigMap",
    ),
    pytest.param(
        put("configmaps", {"metadata": {"name": "kfp-launcher", "namespace": "kubeflow"},
                           "data": {"defaultPipelineRoot": "minio://mlpipeline"}}),
        "KFP's launcher", "is 'minio://mlpipeline'", "s3://ranklift/runs", id="another pipeline root",
    ),
    pytest.param(
        put("deployments", deployment("kserve-controller-manager", "kserve", "kserve/kserve-controller:v0.15.2")),
        "KServe", "KServe 0.15", "upgrade it to 0.21", id="old KServe",
    ),
    pytest.param(
        remove("deployments", "kubeflow", "ml-pipeline"), "Kubeflow Pipelines", "is not installed", "make kind-up",
        id="no KFP",
    ),
    pytest.param(
        change_service(lambda s: s["metadata"].update(annotations={})), "KServe's mode", "in mode Serverless",
        "deploymentMode: Standard", id="Serverless",
    ),
    pytest.param(
        put("certificates", certificate("False")), "KServe's webhooks", "issuer not found", "describe", id="certificate"
    ),
    pytest.param(
        put("validatingwebhookconfigurations", webhook("")), "KServe's webhooks", "no caBundle", "cainjector",
        id="caBundle",
    ),
    pytest.param(
        put("configmaps", inferenceservice_config(enableGatewayApi=False)), "gateway", "enableGatewayApi is off",
        "inferenceservice-config", id="no Gateway API",
    ),
    pytest.param(
        put("gateways", {"metadata": {"name": "kserve-ingress-gateway", "namespace": "kserve"}}), "gateway",
        "is not programmed", "envoy-gateway-system", id="no gateway controller",
    ),
    pytest.param(
        put("httproutes", route("False")), "route", "not Accepted: no listener allows it", "allowedRoutes", id="route"
    ),
    pytest.param(
        put("pods", {**_pod(("inferenceservices", "ranklift", "ranklift"), "V0"), "status": POD_FAULTS["image"]}),
        "InferenceService", "ImagePullBackOff, manifest unknown", "ranklift rollback", id="image pull",
    ),
    pytest.param(
        remove("inferenceservices", "ranklift", "ranklift"), "InferenceService", "There is no InferenceService",
        "kubectl apply -f kserve/inference-service.yaml", id="no InferenceService",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("break_it", "check", "finding", "fix"), BROKEN)
def test_what_is_wrong_is_found_and_comes_with_its_fix(cluster, break_it, check, finding, fix):
    break_it(cluster)
    status, found = doctor()
    assert status == 1
    assert found[check]["state"] == "wrong", found[check]
    assert finding in found[check]["finding"]
    assert fix in found[check]["fix"]


def test_what_may_not_be_read_is_skipped_with_the_rule_that_lets_it(cluster):
    cluster.denied |= {("list", "nodes"), ("get", "secrets")}
    status, found = doctor()
    assert status == 0
    assert found["images"]["state"] == found["keys for the runs"]["state"] == "skipped"
    assert '{apiGroups: [""], resources: [nodes], verbs: [list]}' in found["images"]["finding"]


def test_the_settings_name_the_secret_and_the_images(cluster, tmp_path):
    (tmp_path / "stages.yaml").write_text(
        "object_store: {endpoint: 'http://minio:9000', secret: other}\ndefaults: {image: 'ranklift-{stage}:1'}"
    )
    _, found = doctor("--settings", str(tmp_path / "stages.yaml"))
    assert "no Secret other" in found["keys for the runs"]["finding"]
    assert "no node has ranklift-deploy:1, ranklift-evaluate:1" in found["images"]["finding"]


def test_keys_that_the_object_store_does_not_take_are_found(cluster, object_store, monkeypatch, tmp_path):
    for name, value in object_store.environment().items():
        monkeypatch.setenv(name, value)
    status, found = doctor()
    assert status == 1
    assert found["object store"]["state"] == found["object store: writing"]["state"] == "ok"
    assert "does not know the keys of Secret ranklift-object-store" in found["keys for the runs"]["finding"]
    real = {
        "AWS_ACCESS_KEY_ID": object_store.access_key.get_secret_value(),
        "AWS_SECRET_ACCESS_KEY": object_store.secret_key.get_secret_value(),
    }
    cluster.put("secrets", secret("ranklift-object-store", "kubeflow", keys=real))
    _, found = doctor()
    assert found["keys for the runs"] == {
        "check": "keys for the runs", "state": "ok", "fix": "",
        "finding": "the object store takes the keys of Secret ranklift-object-store in namespace kubeflow",
    }  # fmt: skip


def test_an_object_store_that_is_down_or_has_no_bucket_is_found(cluster, object_store, monkeypatch):
    for name, value in object_store.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RANKLIFT_S3_BUCKET", "nowhere")
    _, found = doctor()
    assert "NoSuchBucket; create the bucket" in found["object store"]["finding"]
    monkeypatch.setenv("RANKLIFT_S3_ENDPOINT", "http://127.0.0.1:1")
    _, found = doctor()
    assert "accepts no connection" in found["object store"]["finding"]


def test_the_endpoint_of_the_pipelines_is_asked(cluster):
    with serving_pipelines(Pipelines()) as endpoint:
        _, found = doctor("--endpoint", endpoint)
        assert found["KFP endpoint"]["state"] == "ok"
    status, found = doctor("--endpoint", endpoint)
    assert (status, found["KFP endpoint"]["state"]) == (1, "wrong")


def test_on_a_laptop_it_checks_what_there_is_and_says_what_not(monkeypatch, tmp_path):
    for name in ("RANKLIFT_S3_ENDPOINT", "RANKLIFT_KUBERNETES_NAMESPACE", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("RANKLIFT_HOME", str(tmp_path / "home"))
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.stdout
    lines = result.stdout.splitlines()
    assert lines[0].startswith("ok     Python: Python 3.")
    assert any(line.startswith("-      Kubernetes: No Kubernetes cluster is configured") for line in lines)
    assert any("`ranklift serve` starts one" in line for line in lines)
    named = CliRunner().invoke(app, ["doctor", "--namespace", "ranklift"])
    assert named.exit_code == 1, "who names a cluster's namespace wants to hear that there is no cluster"


def test_an_image_of_a_registry_is_pulled_when_it_is_needed(cluster):
    change_service(lambda s: container_of(s).update(image="registry.example.com/predictor:1"))(cluster)
    _, found = doctor()
    assert found["images"]["state"] == "ok"
    assert "will be pulled when they are needed: registry.example.com/predictor:1" in found["images"]["finding"]


class TestSeveralNodes:
    SETTINGS = "{object_store: {endpoint: 'http://minio:9000', secret: ranklift-object-store}, train_job: {cpu: 2}}"

    def examine(self, tmp_path):
        (tmp_path / "nodes.yaml").write_text(self.SETTINGS)
        return doctor("--settings", str(tmp_path / "nodes.yaml"))[1]["Kubeflow Trainer"]

    def test_who_asks_for_one_is_not_asked_about_trainer(self, cluster):
        assert doctor()[1]["Kubeflow Trainer"]["state"] == "skipped"

    def test_a_cluster_without_trainer_is_told_what_to_install(self, cluster, tmp_path):
        cluster.unknown.add("clustertrainingruntimes")
        found = self.examine(tmp_path)
        assert (found["state"], found["fix"]) == ("wrong", "install 2.3 or newer")

    def test_a_runtime_that_is_not_there_is_named_with_those_that_are(self, cluster, tmp_path):
        cluster.put("clustertrainingruntimes", {"metadata": {"name": "mlx-distributed"}})
        found = self.examine(tmp_path)
        assert "no ClusterTrainingRuntime torch-distributed" in found["finding"]
        assert "there are mlx-distributed" in found["finding"]
        cluster.put("clustertrainingruntimes", {"metadata": {"name": "torch-distributed"}})
        assert self.examine(tmp_path)["state"] == "ok"
