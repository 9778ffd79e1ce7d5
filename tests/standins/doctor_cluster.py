"""A cluster in which doctor finds nothing: every object that it looks at, as manifests/ and the parts make them."""

import json
from collections.abc import Iterator
from typing import Any

import yaml

from components.deploy.cluster.inference_service import container_of
from components.registry.registry import Lineage, Registry
from tests.components.deploy.conftest import MANIFEST
from tests.factories.model_versions import make_model
from tests.standins.cluster_store import ENDPOINT, keys_of, put_store, secret
from tests.standins.kserve_controller import KServe
from tests.standins.kubernetes_state import Cluster

IMAGE = "ranklift-predictor:0.2.0"
LIMITS = ("ranklift-deploy-limits", "ranklift-run-account")
Objects = Iterator[tuple[str, dict[str, Any]]]


def healthy_cluster(registry: Registry, folder: Any) -> Cluster:
    """A cluster that serves V0, the champion of the registry."""
    for name in ("V0", "V1"):
        registry.publish_model(make_model(folder / f"model-{name}", name.lower()), None, Lineage())
    champion = registry.move_champion("V0", None)
    cluster = Cluster()
    digests = {name: registry.manifest("model", name).digest for name in ("V0", "V1")}
    service = yaml.safe_load(MANIFEST.read_text())
    bucket = registry.store.settings.bucket
    values = {"STORAGE_URI": f"s3://{bucket}/models/V0", "RANKLIFT_PREDICTOR_MODEL_VERSION": "V0",
              "RANKLIFT_CHAMPION_HEAD": champion.head}  # fmt: skip
    container_of(service)["env"] = [{"name": name, "value": value} for name, value in values.items()]
    KServe(cluster, digests).install(service)
    put_store(cluster, registry.store.settings)
    for plural, item in healthy(bucket, keys_of(registry.store.settings)):
        cluster.put(plural, item)
    return cluster


def healthy(bucket: str, keys: dict[str, str]) -> Objects:
    """What is there beside the InferenceService and the store."""
    yield "nodes", {"metadata": {"name": "node"}, "status": {"images": [{"names": [f"docker.io/library/{IMAGE}"]}]}}
    named = dict(zip(("accesskey", "secretkey"), keys.values(), strict=True))
    yield "secrets", secret("mlpipeline-minio-artifact", "kubeflow", named)
    yield "configmaps", launcher(f"s3://{bucket}/runs")
    yield "configmaps", inferenceservice_config(enableGatewayApi=True)
    yield "deployments", deployment("kserve-controller-manager", "kserve", "kserve/kserve-controller:v0.21.0")
    yield "deployments", deployment("ml-pipeline", "kubeflow", "ghcr.io/kubeflow/kfp-api-server:2.17.0")
    yield "certificates", certificate("True")
    yield "validatingwebhookconfigurations", webhook("Y2E=", "servingruntime.serving.kserve.io")
    yield "validatingwebhookconfigurations", webhook("Y2E=")
    yield "mutatingwebhookconfigurations", webhook("Y2E=")
    yield "gateways", gateway(listener("http"), listener("https"))
    yield "httproutes", route("True")
    yield "namespaces", namespace("restricted")
    yield "networkpolicies", network_policy()
    yield "serviceaccounts", {"metadata": {"name": "ranklift-deploy", "namespace": "kubeflow"}}
    yield from executor()
    for name in LIMITS:
        yield "validatingadmissionpolicies", {"metadata": {"name": name}, "spec": {"failurePolicy": "Fail"}}
        yield "validatingadmissionpolicybindings", binding(name, "Deny")


def executor() -> Objects:
    """What gives Argo's executor an account."""
    defaults = yaml.safe_dump({"spec": {"executor": {"serviceAccountName": "ranklift-executor"}}})
    meta = {"name": "workflow-controller-configmap", "namespace": "kubeflow"}
    yield "configmaps", {"metadata": meta, "data": {"workflowDefaults": defaults}}
    token = {"workflows.argoproj.io/service-account-token.name": "ranklift-executor-token"}
    yield "serviceaccounts", {"metadata": {"name": "ranklift-executor", "namespace": "kubeflow", "annotations": token}}
    yield "secrets", secret("ranklift-executor-token", "kubeflow", {"token": "x"})


def launcher(root: str, endpoint: str = ENDPOINT, name: str = "mlpipeline-minio-artifact") -> dict[str, Any]:
    reference = {"secretName": name, "accessKeyKey": "accesskey", "secretKeyKey": "secretkey"}
    provider = {"endpoint": endpoint, "disableSSL": True, "credentials": {"fromEnv": False, "secretRef": reference}}
    data = {"defaultPipelineRoot": root, "providers": yaml.safe_dump({"s3": {"default": provider}})}
    return {"metadata": {"name": "kfp-launcher", "namespace": "kubeflow"}, "data": data}


def inferenceservice_config(**ingress: Any) -> dict[str, Any]:
    data = {"ingress": json.dumps(ingress), "deploy": json.dumps({"defaultDeploymentMode": "Serverless"})}
    return {"metadata": {"name": "inferenceservice-config", "namespace": "kserve"}, "data": data}


def deployment(name: str, place: str, image: str, available: str = "True") -> dict[str, Any]:
    pod = {"spec": {"containers": [{"name": "manager", "image": image}]}}
    condition = {"type": "Available", "status": available, "message": "Deployment does not have minimum availability"}
    meta = {"name": name, "namespace": place}
    return {"metadata": meta, "spec": {"template": pod}, "status": {"conditions": [condition]}}


def certificate(ready: str) -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "message": "issuer not found"}
    return {"metadata": {"name": "serving-cert", "namespace": "kserve"}, "status": {"conditions": [condition]}}


def webhook(bundle: str, name: str = "inferenceservice.serving.kserve.io") -> dict[str, Any]:
    hooks = [{"name": "validator", "clientConfig": {"caBundle": bundle}}]
    return {"metadata": {"name": name}, "webhooks": hooks}


def gateway(*listeners: dict[str, Any], programmed: str = "True") -> dict[str, Any]:
    conditions = [{"type": "Programmed", "status": programmed}]
    meta = {"name": "kserve-ingress-gateway", "namespace": "kserve"}
    return {"metadata": meta, "status": {"conditions": conditions, "listeners": list(listeners)}}


def listener(name: str, fault: str = "") -> dict[str, Any]:
    """A listener whose certificate is found, or not."""
    resolved = {"type": "ResolvedRefs", "status": "False" if fault else "True", "message": fault}
    return {"name": name, "conditions": [resolved, {"type": "Programmed", "status": "True"}]}


def route(accepted: str) -> dict[str, Any]:
    conditions = [
        {"type": "Accepted", "status": accepted, "message": "no listener allows it"},
        {"type": "ResolvedRefs", "status": "True"},
    ]
    return {
        "metadata": {"name": "ranklift", "namespace": "ranklift"},
        "status": {"parents": [{"conditions": conditions}]},
    }


def namespace(level: str) -> dict[str, Any]:
    labels = {"pod-security.kubernetes.io/enforce": level} if level else {}
    return {"metadata": {"name": "ranklift", "labels": labels}}


def network_policy() -> dict[str, Any]:
    meta = {"name": "default-deny", "namespace": "ranklift"}
    return {"metadata": meta, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}


def binding(name: str, action: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": [action]}}
