"""KServe: its version, mode, webhooks and gateway, and whether the InferenceService serves."""

import json
import re
from typing import Any

from components.deploy.inference_service import complaint_of, is_ready, revision_of
from components.deploy.pods import find_fault
from components.kubernetes_api import Kind
from pipeline.doctor.cluster import CONFIG_MAPS, DEPLOYMENTS, Cluster
from pipeline.doctor.result import Check, Result, ok, skipped, wrong

_NAMESPACE = "kserve"
_MODE = "serving.kserve.io/deploymentMode"
_STANDARD = {"Standard", "RawDeployment"}
_OLDEST = (0, 21)  # the first with a canary in Standard mode
_UP = "`make kind-up` installs it; on another cluster follow manifests/README.md"

_CERTIFICATES = Kind("cert-manager.io", "v1", "certificates")
_WEBHOOKS = Kind("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations")
_GATEWAYS = Kind("gateway.networking.k8s.io", "v1", "gateways")
_ROUTES = Kind("gateway.networking.k8s.io", "v1", "httproutes")


def check_version(cluster: Cluster) -> Result:
    """Whether KServe is there and new enough."""
    return version_of(cluster, _NAMESPACE, "kserve-controller-manager", "KServe", _OLDEST)


def check_mode(cluster: Cluster) -> Result:
    """Whether KServe makes Deployments of it, which needs no Knative."""
    if cluster.service is None:
        return skipped(_absent(cluster))
    told = cluster.service.get("status", {}).get("deploymentMode")
    noted = cluster.service["metadata"].get("annotations", {}).get(_MODE)
    mode = told or noted or _config(cluster, "deploy").get("defaultDeploymentMode", "Serverless")
    if mode not in _STANDARD:
        return wrong(
            f"the InferenceService runs in mode {mode}, which needs Knative",
            f"give it the annotation {_MODE}: Standard; KServe keeps the mode it began with, so delete it before you "
            "apply it again",
        )
    if noted != "Standard":
        return wrong(
            f"the InferenceService has no annotation {_MODE}: Standard, and KServe refuses a canary without it",
            "apply kserve/inference-service.yaml, which has it",
        )
    return ok("Standard: Deployments, no Knative")


def check_certificates(cluster: Cluster) -> Result:
    """Whether cert-manager gave KServe's webhooks a certificate, and the API server knows its authority."""
    found = cluster.api.select(_CERTIFICATES, _NAMESPACE)
    if not found:
        return wrong(f"namespace {_NAMESPACE} has no cert-manager Certificate", f"install cert-manager first: {_UP}")
    for item in found:
        condition = _condition(item.get("status", {}).get("conditions", []), "Ready")
        if condition.get("status") != "True":
            name, said = item["metadata"]["name"], condition.get("message", "no condition yet")
            return wrong(f"Certificate {name} is not ready: {said}", f"`kubectl describe certificate -n kserve {name}`")
    for hook in cluster.api.select(_WEBHOOKS):
        name = hook["metadata"]["name"]
        if name.endswith("serving.kserve.io") and not all(
            item["clientConfig"].get("caBundle") for item in hook["webhooks"]
        ):
            return wrong(
                f"webhook {name} has no caBundle: every apply of an InferenceService fails on its certificate",
                "restart what injects it: `kubectl rollout restart -n cert-manager deploy/cert-manager-cainjector`",
            )
    return ok("the webhooks have certificates that the API server trusts")


def check_gateway(cluster: Cluster) -> Result:
    """Whether requests from outside have a gateway to come through."""
    ingress = _config(cluster, "ingress")
    if not ingress.get("enableGatewayApi"):
        return wrong(
            "enableGatewayApi is off, and KServe calls an Ingress ready even with no controller behind it",
            f"turn it on in ConfigMap inferenceservice-config of namespace {_NAMESPACE}: {_UP}",
        )
    namespace, _, name = ingress.get("kserveIngressGateway", "kserve/kserve-ingress-gateway").partition("/")
    gateway = cluster.api.find(_GATEWAYS, namespace, name)
    if gateway is None:
        return wrong(f"there is no Gateway {namespace}/{name}", _UP)
    condition = _condition(gateway.get("status", {}).get("conditions", []), "Programmed")
    if condition.get("status") != "True":
        said = condition.get("message", "its controller has not looked at it: is Envoy Gateway running?")
        return wrong(
            f"Gateway {namespace}/{name} is not programmed: {said}", "`kubectl get pods -n envoy-gateway-system`"
        )
    return ok(f"Gateway {namespace}/{name} is programmed")


def check_route(cluster: Cluster) -> Result:
    """Whether the gateway accepted the InferenceService's route."""
    place = cluster.place
    if cluster.service is None:
        return skipped(_absent(cluster))
    route = cluster.api.find(_ROUTES, place.serving, place.name)
    if route is None:
        return wrong(
            f"there is no HTTPRoute {place.name} in namespace {place.serving}",
            f"look at what KServe says: `kubectl describe isvc -n {place.serving} {place.name}`",
        )
    parents = route.get("status", {}).get("parents", [])
    for kind in ("Accepted", "ResolvedRefs"):
        conditions = [_condition(parent.get("conditions", []), kind) for parent in parents]
        bad = next((item for item in conditions if item.get("status") != "True"), None)
        if not conditions or bad is not None:
            said = bad.get("message", "no controller looked at it") if bad else "no gateway looked at it"
            return wrong(
                f"HTTPRoute {place.name} is not {kind}: {said}",
                "the Gateway must allow routes from this namespace (allowedRoutes)",
            )
    return ok(f"HTTPRoute {place.name} is accepted")


def check_service(cluster: Cluster) -> Result:
    """Whether the InferenceService serves."""
    if cluster.service is None:
        return wrong(_absent(cluster), "after the first promotion, `kubectl apply -f kserve/inference-service.yaml`")
    version = revision_of(cluster.service).version
    finding = find_fault(cluster.api, cluster.service, version)
    if is_ready(cluster.service) and not finding.hopeless:
        return ok(f"{version} is in service")
    said = finding.sentence or complaint_of(cluster.service) or "KServe has not looked at it yet"
    return wrong(f"{version} does not serve: {said}", "`ranklift rollback` goes back to the champion before")


def version_of(cluster: Cluster, namespace: str, name: str, what: str, oldest: tuple[int, int]) -> Result:
    """Whether a deployment's image is of a version that is new enough."""
    found = cluster.api.find(DEPLOYMENTS, namespace, name)
    if found is None:
        return wrong(f"{what} is not installed (no Deployment {name} in namespace {namespace})", _UP)
    images = [container.get("image", "") for container in found["spec"]["template"]["spec"]["containers"]]
    tags = [re.search(r":v?(\d+)\.(\d+)[^/]*$", image) for image in images]
    tag = next(filter(None, tags), None)
    if tag is None:
        return skipped(f"{what} runs from {', '.join(images)}, whose version its name does not tell.")
    if (int(tag[1]), int(tag[2])) < oldest:
        return wrong(f"{what} {tag[1]}.{tag[2]}", f"upgrade it to {oldest[0]}.{oldest[1]} or newer")
    return ok(f"{what} {tag[1]}.{tag[2]}")


def _config(cluster: Cluster, part: str) -> dict[str, Any]:
    found = cluster.api.find(CONFIG_MAPS, _NAMESPACE, "inferenceservice-config")
    text = (found or {}).get("data", {}).get(part, "{}")
    try:
        parsed: dict[str, Any] = json.loads(text)
    except ValueError:
        return {}
    return parsed


def _condition(conditions: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next((item for item in conditions if item.get("type") == kind), {})


def _absent(cluster: Cluster) -> str:
    return f"There is no InferenceService {cluster.place.name} in namespace {cluster.place.serving} yet."


CHECKS = (
    Check("KServe", check_version),
    Check("KServe's mode", check_mode),
    Check("KServe's webhooks", check_certificates),
    Check("gateway", check_gateway),
    Check("route", check_route),
    Check("InferenceService", check_service),
)
