"""KServe: its version, mode, webhooks and gateway, and whether the InferenceService serves."""

import json
import re
from typing import Any

from components.deploy.cluster.inference_service import complaint_of, is_ready, revision_of, service_name
from components.deploy.cluster.pods import find_fault
from components.deploy.cluster.route import HTTP_ROUTES
from components.deploy.smoke import NotAnsweredError, version_that_answers
from components.kubernetes.errors import KubernetesError
from components.kubernetes.fields import condition, field, items, name_of, table, text
from components.kubernetes.kinds import CONFIG_MAPS, DEPLOYMENTS, Kind, Manifest
from pipeline.doctor.cluster import Cluster
from pipeline.doctor.result import Check, Result, ok, skipped, wrong

_NAMESPACE = "kserve"
_MODE = "serving.kserve.io/deploymentMode"
_STANDARD = {"Standard", "RawDeployment"}
_OLDEST = (0, 21)  # the first with a canary in Standard mode
_ANSWER_WITHIN = 10.0  # seconds
_UP = "`make kind-up` installs it; on another cluster follow manifests/README.md"

_CERTIFICATES = Kind("cert-manager.io", "v1", "certificates")
_HOOK = "inferenceservice.serving.kserve.io"
#: The kinds of webhooks that KServe has, and what happens without.
_WEBHOOKS = (
    (
        Kind("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"),
        "KServe accepts whatever is applied",
    ),
    (
        Kind("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations"),
        "a new pod of the predictor gets no model",
    ),
)
_GATEWAYS = Kind("gateway.networking.k8s.io", "v1", "gateways")


def check_version(cluster: Cluster) -> Result:
    """Whether KServe is there and new enough."""
    return version_of(cluster, _NAMESPACE, "kserve-controller-manager", "KServe", _OLDEST)


def check_mode(cluster: Cluster) -> Result:
    """Whether KServe makes Deployments of it, which needs no Knative."""
    if cluster.service is None:
        return skipped(_absent(cluster))
    told = text(cluster.service, "status", "deploymentMode")
    noted = text(cluster.service, "metadata", "annotations", _MODE)
    mode = told or noted or text(_config(cluster, "deploy"), "defaultDeploymentMode", default="Serverless")
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
    found = cluster.listed(_CERTIFICATES, _NAMESPACE)
    if not found:
        return wrong(f"namespace {_NAMESPACE} has no cert-manager Certificate", f"install cert-manager first: {_UP}")
    for item in found:
        ready, name = condition(item, "Ready"), name_of(item)
        if text(ready, "status") != "True":
            said = text(ready, "message", default="no condition yet")
            return wrong(f"Certificate {name} is not ready: {said}", f"`kubectl describe certificate -n kserve {name}`")
    return next(
        filter(None, (_webhook_fault(cluster, kind, without) for kind, without in _WEBHOOKS)),
        ok("the webhooks have certificates, and the API server was told their authority"),
    )


def _webhook_fault(cluster: Cluster, kind: Kind, without: str) -> Result | None:
    """Return what is wrong with KServe's webhooks of a kind; None when nothing."""
    hooks = [hook for hook in cluster.api.select(kind) if name_of(hook).endswith(_HOOK.partition(".")[2])]
    if _HOOK not in map(name_of, hooks):
        return wrong(f"there is no {kind.plural.partition('webhook')[0]} webhook {_HOOK}: {without}", _UP)
    for hook in hooks:
        calls = items(hook, "webhooks")
        if not calls or not all(text(item, "clientConfig", "caBundle") for item in calls):
            return wrong(
                f"webhook {name_of(hook)} has no caBundle: every apply of an InferenceService fails on its certificate",
                "restart what injects it: `kubectl rollout restart -n cert-manager deploy/cert-manager-cainjector`",
            )
    return None


def check_gateway(cluster: Cluster) -> Result:
    """Whether requests from outside have a gateway to come through."""
    ingress = _config(cluster, "ingress")
    if not ingress.get("enableGatewayApi"):
        return wrong(
            "enableGatewayApi is off, and KServe calls an Ingress ready even with no controller behind it",
            f"turn it on in ConfigMap inferenceservice-config of namespace {_NAMESPACE}: {_UP}",
        )
    told = text(ingress, "kserveIngressGateway", default="kserve/kserve-ingress-gateway")
    namespace, _, name = told.partition("/")
    gateway = cluster.api.find(_GATEWAYS, namespace, name)
    if gateway is None:
        return wrong(f"there is no Gateway {namespace}/{name}", _UP)
    faulty = _listener_fault(gateway)
    if faulty:
        return wrong(
            f"Gateway {namespace}/{name}: {faulty}",
            f"`kubectl describe gateway -n {namespace} {name}`; the certificate that it names comes from cert-manager: "
            f"`kubectl get certificate,secret -n {namespace}`",
        )
    programmed = condition(gateway, "Programmed")
    if text(programmed, "status") != "True":
        said = text(programmed, "message", default="its controller has not looked at it: is Envoy Gateway running?")
        return wrong(
            f"Gateway {namespace}/{name} is not programmed: {said}", "`kubectl get pods -n envoy-gateway-system`"
        )
    return ok(f"Gateway {namespace}/{name} is programmed")


def _listener_fault(gateway: Manifest) -> str:
    """Return what is wrong with a listener of a gateway, which may be programmed all the same; empty when nothing."""
    for listener in items(gateway, "status", "listeners"):
        for kind in ("ResolvedRefs", "Programmed"):
            found = condition(listener, kind, "conditions")
            if text(found, "status") == "False":
                said = text(found, "message", default=text(found, "reason", default="no reason is told"))
                return f"listener {text(listener, 'name', default='(no name)')} is not {kind}: {said}"
    return ""


def check_route(cluster: Cluster) -> Result:
    """Whether the gateway accepted the InferenceService's route."""
    place = cluster.place
    if cluster.service is None:
        return skipped(_absent(cluster))
    route = cluster.api.find(HTTP_ROUTES, place.serving, place.name)
    if route is None:
        return wrong(
            f"there is no HTTPRoute {place.name} in namespace {place.serving}",
            f"look at what KServe says: `kubectl describe isvc -n {place.serving} {place.name}`",
        )
    parents = items(route, "status", "parents")
    for kind in ("Accepted", "ResolvedRefs"):
        found = [condition(parent, kind, "conditions") for parent in parents]
        bad = next((item for item in found if text(item, "status") != "True"), None)
        if not found or bad is not None:
            said = text(bad, "message", default="no controller looked at it" if found else "no gateway looked at it")
            return wrong(
                f"HTTPRoute {place.name} is not {kind}: {said}",
                "the Gateway must allow routes from this namespace (allowedRoutes)",
            )
    return ok(f"HTTPRoute {place.name} is accepted")


def check_service(cluster: Cluster) -> Result:
    """Whether the InferenceService serves."""
    if cluster.service is None:
        return wrong(_absent(cluster), "after the first promotion, `kubectl apply -f kserve/inference-service.yaml`")
    asked = revision_of(cluster.service)
    version = asked.version or "no version"
    finding = find_fault(cluster.api, cluster.service, asked)
    if is_ready(cluster.service) and not finding.hopeless:
        unseen = finding.refused or finding.sentence  # what could not be looked at, or is not there yet
        return ok(f"KServe calls {version} ready{f'. {unseen}' if unseen else ''}")
    if not finding.sentence and _waits_for_its_route(cluster.service):
        return _unreachable(cluster, version)
    said = finding.sentence or complaint_of(cluster.service) or "KServe has not looked at it yet"
    back = f"`ranklift rollback{cluster.options}` goes back to the champion before"
    return wrong(f"{version} does not serve: {said}", back)


def _waits_for_its_route(service: Manifest) -> bool:
    """Whether the predictor's pods serve, and only the way to them is not ready."""
    states = [text(condition(service, kind), "status") for kind in ("PredictorReady", "IngressReady")]
    return states == ["True", "False"]


def _unreachable(cluster: Cluster, version: str) -> Result:
    """Return what is wrong with the way to pods that serve, where the check of the route does not say it."""
    if check_route(cluster).state == "wrong":
        return skipped(f"whether KServe calls {version} ready: its pods are, and their route is not, as is said above")
    place = cluster.place
    return wrong(
        f"the pods of {version} are ready, and the way to them is not: {complaint_of(cluster.service or {})}",
        f"`kubectl describe isvc,httproute -n {place.serving}`, and read the log of KServe's controller: `kubectl logs "
        f"-n {_NAMESPACE} deploy/kserve-controller-manager`",
    )


def check_answer(cluster: Cluster) -> Result:
    """Whether the predictor answers a query, with the version that the InferenceService names."""
    if cluster.service is None or not is_ready(cluster.service):
        return skipped("there is no InferenceService that is ready")
    asked, name = revision_of(cluster.service).version, service_name(cluster.service)

    def post(path: str, document: Any) -> dict[str, Any]:
        try:
            return cluster.api.post_to_service(cluster.place.serving, name, path, document, _ANSWER_WITHIN)
        except KubernetesError as error:
            if error.status == 403:
                raise
            raise NotAnsweredError(str(error)) from error

    try:
        answered = version_that_answers(post, f"Service {name}")
    except NotAnsweredError as error:
        look = f"`kubectl get pods,endpointslices -n {cluster.place.serving}`, and read the pods' logs"
        return wrong(str(error), look)
    if answered != asked and check_service(cluster).state == "wrong":
        return skipped(f"whether {asked} answers: {answered} still does, and why is said above of the InferenceService")
    if answered != asked:
        return wrong(
            f"{answered} answers, where the InferenceService names {asked}: a rollout is on its way, or stands still",
            f"`kubectl rollout status -n {cluster.place.serving} deploy/{name}` says which",
        )
    return ok(f"{answered} answers a query")


def version_of(cluster: Cluster, namespace: str, name: str, what: str, oldest: tuple[int, int]) -> Result:
    """Whether a deployment's image is of a version that is new enough."""
    found = cluster.api.find(DEPLOYMENTS, namespace, name)
    if found is None:
        return wrong(f"{what} is not installed (no Deployment {name} in namespace {namespace})", _UP)
    images = [text(container, "image") for container in items(found, "spec", "template", "spec", "containers")]
    tags = [re.search(r":v?(\d+)\.(\d+)[^/]*$", image) for image in images]
    tag = next(filter(None, tags), None)
    if tag is None:
        return skipped(f"{what} runs from {', '.join(filter(None, images)) or 'no image'}, which tells no version")
    if (int(tag[1]), int(tag[2])) < oldest:
        return wrong(f"{what} {tag[1]}.{tag[2]}", f"upgrade it to {oldest[0]}.{oldest[1]} or newer")
    if field(found, "spec", "replicas") == 0:  # and then Kubernetes calls it Available
        return wrong(
            f"{what} does not run: Deployment {name} is scaled to 0",
            f"`kubectl scale -n {namespace} deploy/{name} --replicas=1`",
        )
    available = condition(found, "Available")
    if text(available, "status") == "False":
        said = text(available, "message", default="no pod of it is available")
        return wrong(f"{what} does not run: {said}", f"`kubectl describe pods -n {namespace}` says why")
    return ok(f"{what} {tag[1]}.{tag[2]}")


def _config(cluster: Cluster, part: str) -> dict[str, Any]:
    found = cluster.api.find(CONFIG_MAPS, _NAMESPACE, "inferenceservice-config")
    try:
        return table({"part": json.loads(text(found, "data", part, default="{}"))}, "part")
    except ValueError:
        return {}


def _absent(cluster: Cluster) -> str:
    return f"there is no InferenceService {cluster.place.name} in namespace {cluster.place.serving} yet"


CHECKS = (
    Check("KServe", check_version),
    Check("KServe's mode", check_mode),
    Check("KServe's webhooks", check_certificates),
    Check("gateway", check_gateway),
    Check("route", check_route),
    Check("InferenceService", check_service),
    Check("query", check_answer),
)
