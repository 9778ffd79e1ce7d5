"""doctor finds each fault that people make in a cluster: one WRONG, with the command or the line that repairs it."""

import pytest

from components.object_store import ObjectStore
from tests.cluster_store import POD, secret
from tests.doctor_cluster import (
    IMAGE,
    binding,
    certificate,
    deployment,
    inferenceservice_config,
    launcher,
    namespace,
    route,
    webhook,
)
from tests.kserve_controller import POD_FAULTS, _pod
from tests.pipeline.conftest import change_service, doctor

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
S3_ENDPOINT = "serving.kserve.io/s3-endpoint"


def put(plural, item):
    return lambda cluster: cluster.put(plural, item)


def remove(plural, namespace, name):
    return lambda cluster: cluster.delete(plural, namespace, name)


def annotate(**notes):
    """Other annotations on the predictor's Secret, whose keys stay."""

    def act(cluster):
        found = cluster.get("secrets", "ranklift", "ranklift-predictor-s3")
        found["metadata"]["annotations"].update(notes)
        cluster.put("secrets", found)

    return act


def forget_the_model(cluster):
    cluster.network = lambda host, path, body: (503, {"error": "no endpoints"})


def is_not_ready(cluster):
    conditions = [
        {"type": name, "status": "False", "message": "revision failed"} for name in ("PredictorReady", "Ready")
    ]
    cluster.set_status("inferenceservices", "ranklift", "ranklift", {"conditions": conditions})


def keep_the_canarys_autoscaler(cluster):
    cluster.put(
        "horizontalpodautoscalers", {"metadata": {"name": "ranklift-canary-predictor", "namespace": "ranklift"}}
    )


GATEWAY = {"metadata": {"name": "kserve-ingress-gateway", "namespace": "kserve"}}
ACCOUNT = {"metadata": {"name": "ranklift-predictor", "namespace": "ranklift"}}
IMAGE_FAULT = {
    **_pod(("inferenceservices", "ranklift", "ranklift"), "V0", "isvc.ranklift-predictor"),
    "status": POD_FAULTS["image"],
}

#: What is planted: how, which check finds it, what it says, and what repairs it.
FAULTS = {
    "an old Kubernetes": (lambda c: c.version.update(minor="29"), "Kubernetes", "1.29", "1.32 or newer"),
    "an image that no node has": (
        put("nodes", {"metadata": {"name": "node"}}), "images", f"no node has {IMAGE}", "make kind-load",
    ),
    "no Secret for the runs": (
        remove("secrets", "kubeflow", "ranklift-object-store"), "keys for the runs",
        "no Secret ranklift-object-store in namespace kubeflow", "kubectl create secret generic",
    ),
    "a Secret with other keys": (
        put("secrets", secret("ranklift-object-store", "kubeflow", {"accesskey": "x"})), "keys for the runs",
        "has no AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY", "add what is missing",
    ),
    "a key that the store does not know": (
        put("secrets", secret("ranklift-object-store", "kubeflow", dict.fromkeys(KEYS, "wrong"))), "keys for the runs",
        "does not know the keys of Secret kubeflow/ranklift-object-store", "write the keys that the store has",
    ),
    "no ServiceAccount of the predictor": (
        remove("serviceaccounts", "ranklift", "ranklift-predictor"), "keys for the predictor",
        "no ServiceAccount ranklift-predictor", "kubectl apply -k",
    ),
    "no Secret at the ServiceAccount": (
        put("serviceaccounts", ACCOUNT), "keys for the predictor",
        "no Secret with the annotation serving.kserve.io/s3-endpoint", "`secrets:`",
    ),
    "no Secret of the predictor": (
        remove("secrets", "ranklift", "ranklift-predictor-s3"), "keys for the predictor",
        "names a Secret ranklift-predictor-s3 that is not there", "kubectl apply -k",
    ),
    "no launcher ConfigMap": (
        remove("configmaps", "kubeflow", "kfp-launcher"), "KFP's launcher", "artifacts go to KFP's own store",
        "kubectl apply -k",
    ),
    "a pipeline root elsewhere": (
        put("configmaps", launcher("minio://mlpipeline")), "KFP's launcher", "is 'minio://mlpipeline'",
        "s3://ranklift/runs",
    ),
    "a launcher without an endpoint": (
        put("configmaps", launcher("s3://ranklift/runs", "")), "KFP's launcher", "names no endpoint",
        "kubectl apply -k",
    ),
    "a launcher that names no Secret": (
        put("configmaps", launcher("s3://ranklift/runs", name="")), "KFP's launcher", "names no Secret",
        "kubectl apply -k",
    ),
    "an old KServe": (
        put("deployments", deployment("kserve-controller-manager", "kserve", "kserve/kserve-controller:v0.15.2")),
        "KServe", "KServe 0.15", "upgrade it to 0.21",
    ),
    "a KServe that does not run": (
        put("deployments", deployment("kserve-controller-manager", "kserve", "kserve/controller:v0.21.0", "False")),
        "KServe", "KServe does not run", "kubectl describe pods -n kserve",
    ),
    "no Kubeflow Pipelines": (
        remove("deployments", "kubeflow", "ml-pipeline"), "Kubeflow Pipelines", "is not installed", "make kind-up",
    ),
    "KServe not in Standard mode": (
        change_service(lambda s: s["metadata"].update(annotations={})), "KServe's mode", "in mode Serverless",
        "deploymentMode: Standard",
    ),
    "a certificate that nobody signed": (
        put("certificates", certificate("False")), "KServe's webhooks", "issuer not found", "describe",
    ),
    "a webhook without an authority": (
        put("validatingwebhookconfigurations", webhook("")), "KServe's webhooks", "no caBundle", "cainjector",
    ),
    "no webhook at all": (
        remove("validatingwebhookconfigurations", "", "inferenceservice.serving.kserve.io"), "KServe's webhooks",
        "no validating webhook of KServe", "make kind-up",
    ),
    "the Gateway API switched off": (
        put("configmaps", inferenceservice_config(enableGatewayApi=False)), "gateway", "enableGatewayApi is off",
        "inferenceservice-config",
    ),
    "a gateway that is not programmed": (
        put("gateways", GATEWAY), "gateway", "is not programmed", "envoy-gateway-system",
    ),
    "a route that is refused": (
        put("httproutes", route("False")), "route", "not Accepted: no listener allows it", "allowedRoutes",
    ),
    "an image that cannot be pulled": (
        put("pods", IMAGE_FAULT), "InferenceService", "ImagePullBackOff, manifest unknown", "ranklift rollback",
    ),
    "no InferenceService": (
        lambda c: (c.delete("inferenceservices", "ranklift", "ranklift")), "InferenceService",
        "there is no InferenceService", "kubectl apply -f kserve/inference-service.yaml",
    ),
    "an InferenceService that is not ready": (
        is_not_ready, "InferenceService", "PredictorReady is False: revision failed",
        "`ranklift rollback --namespace ranklift`",
    ),
    "a predictor that does not answer": (forget_the_model, "query", "503", "kubectl get pods,endpointslices"),
    "an autoscaler left of a canary": (
        keep_the_canarys_autoscaler, "leftovers", "ranklift-canary-predictor was left",
        "kubectl delete hpa -n ranklift",
    ),
    "a rule that deploy's Role lacks": (
        lambda c: c.forbidden.add(("patch", "inferenceservices")), "rights of deploy",
        "resources: [inferenceservices], verbs: [patch]", "kubectl apply -k",
    ),
    "a Role that reads every Secret": (
        lambda c: c.granted.add("get"), "rights of deploy", "may read every Secret in namespace ranklift",
        "remove that rule",
    ),
    "no admission policy": (
        remove("validatingadmissionpolicies", "", "ranklift-deploy-limits"), "admission policies",
        "no ValidatingAdmissionPolicy ranklift-deploy-limits", "kubectl apply -k",
    ),
    "an admission policy that only warns": (
        put("validatingadmissionpolicybindings", binding("ranklift-deploy-limits", "Warn")), "admission policies",
        "not bound with validationActions [Deny]", "kubectl apply -k",
    ),
    "no Pod Security label": (
        put("namespaces", namespace("")), "Pod Security", "no label pod-security.kubernetes.io/enforce",
        "kubectl label namespace ranklift",
    ),
    "no NetworkPolicy": (
        remove("networkpolicies", "ranklift", "default-deny"), "NetworkPolicies", "no NetworkPolicy that denies",
        "kubectl apply -k",
    ),
    "a store without a ready pod": (
        remove("endpointslices", "ranklift-store", "object-store-x1"), "registry", "has no pod that is ready",
        "kubectl get pods,endpointslices -n ranklift-store",
    ),
    "a store that refuses connections": (
        lambda c: c.forwards.update({POD: ("127.0.0.1", 1)}), "registry", "broke the connection",
        "kubectl get pods,endpointslices -n ranklift-store",
    ),
}  # fmt: skip


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


def test_doctor_with_faults_planted_covers_at_least_fifteen():
    assert len(FAULTS) >= 15
