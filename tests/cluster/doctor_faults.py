"""The faults that doctor finds on a cluster: how each is planted, which check finds it, and what repairs it."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.cluster.conftest import NAME, RUNS, SERVING
from tests.cluster.faults import Plant, Site, added, asked, awaited, edited, removed, stated, stored
from tests.cluster.kubectl import Document
from tests.cluster.states import (
    PODS,
    has_a_pod_without_image,
    has_pods,
    is_not_ready,
    is_ready,
    listeners_are_well,
    route_is_accepted,
)

S3 = "serving.kserve.io/s3-"
ENFORCE = "pod-security.kubernetes.io/enforce"
RUNS_SECRET = ("secret", RUNS, "ranklift-object-store")
PREDICTOR_SECRET = ("secret", SERVING, "ranklift-predictor-s3")
ACCOUNT = ("serviceaccount", SERVING, "ranklift-predictor")
LAUNCHER = ("configmap", RUNS, "kfp-launcher")
GATEWAY = ("gateway", "kserve", "kserve-ingress-gateway")
CANARY = f"{NAME}-canary-predictor"
SECRETS_READER = "ranklift-tests-read-secrets"


class Fault(NamedTuple):
    """A fault, and what doctor says of it."""

    plant: Plant
    check: str
    finding: str
    fix: str  #: or part of the finding, where that says itself what to do


def data(**values: str) -> Callable[[Document], None]:
    """Other data in a Secret."""
    coded = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
    return lambda secret: secret.update(data=coded)


def notes(**values: str) -> Callable[[Document], None]:
    """Other annotations about the object store."""
    return lambda item: item["metadata"]["annotations"].update({S3 + name: value for name, value in values.items()})


def without_notes(secret: Document) -> None:
    secret["metadata"]["annotations"] = {}


def launcher(was: str, now: str) -> Callable[[Document], None]:
    """Another text in the configuration of KFP's launcher."""

    def change(found: Document) -> None:
        assert was in json.dumps(found["data"]), f"kfp-launcher does not say {was}"
        found["data"] = {key: value.replace(was, now) for key, value in found["data"].items()}

    return change


def without_gateway_api(config: Document) -> None:
    config["data"]["ingress"] = json.dumps(json.loads(config["data"]["ingress"]) | {"enableGatewayApi": False})


def with_a_certificate_that_is_not_there(gateway: Document) -> None:
    (https,) = (item for item in gateway["spec"]["listeners"] if item["protocol"] == "HTTPS")
    https["tls"]["certificateRefs"][0]["name"] = "nobody-made-this"


def with_routes_from_its_own_namespace_alone(gateway: Document) -> None:
    for listener in gateway["spec"]["listeners"]:
        listener["allowedRoutes"] = {"namespaces": {"from": "Same"}}


def with_another_subject(binding: Document) -> None:
    binding["subjects"][0]["name"] = "pipeline-runner"


def with_an_image_that_is_not_there(service: Document) -> None:
    image = {"image": "registry.invalid/ranklift-predictor:1", "imagePullPolicy": "Never"}
    service["spec"]["predictor"]["containers"][0].update(image)


def without_a_pod(deployment: Document) -> None:
    deployment["spec"]["replicas"] = 0


def named(api: str, kind: str, namespace: str, name: str, **parts: Any) -> Document:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **parts}


AUTOSCALER = named("autoscaling/v2", "HorizontalPodAutoscaler", SERVING, CANARY, spec={
    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": CANARY}, "maxReplicas": 1,
})  # fmt: skip
DEPLOYMENT = named("apps/v1", "Deployment", SERVING, CANARY, spec={
    "replicas": 0, "selector": {"matchLabels": {"app": CANARY}},
    "template": {"metadata": {"labels": {"app": CANARY}}, "spec": {"containers": [{"name": "x", "image": "x"}]}},
})  # fmt: skip
CERTIFICATE = named("cert-manager.io/v1", "Certificate", "kserve", "ranklift-tests", spec={
    "secretName": "ranklift-tests", "dnsNames": ["nobody.invalid"], "issuerRef": {"name": "nobody", "kind": "Issuer"},
})  # fmt: skip
RBAC = "rbac.authorization.k8s.io"
ROLE = named(f"{RBAC}/v1", "Role", SERVING, SECRETS_READER, rules=[
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
])  # fmt: skip
ROLE_BINDING = named(
    f"{RBAC}/v1", "RoleBinding", SERVING, SECRETS_READER,
    roleRef={"apiGroup": RBAC, "kind": "Role", "name": SECRETS_READER},
    subjects=[{"kind": "ServiceAccount", "namespace": RUNS, "name": "ranklift-deploy"}],
)  # fmt: skip
QUOTA = named("v1", "ResourceQuota", SERVING, "ranklift-tests", spec={"hard": {"pods": "0"}})


@contextmanager
def without_room(site: Site) -> Iterator[tuple[str, ...]]:
    """A namespace in which no other pod may start, and whose predictor has lost its own."""
    with added(QUOTA)(site) as arguments:
        site.kubectl("delete", "pod", "-n", SERVING, "-l", PODS, timeout=120)
        yield arguments
    # Kubernetes tries again at ever longer intervals, and at once when the ReplicaSet changes.
    for note in ("ranklift-tests=again", "ranklift-tests-"):
        site.kubectl("annotate", "replicaset", "-n", SERVING, "-l", PODS, note)


FAULTS = {
    "a context that is not there": Fault(
        asked("--context", "nowhere"), "Kubernetes", "context nowhere", "KUBECONFIG names its configuration",
    ),
    "an endpoint where nobody answers": Fault(
        asked("--endpoint", "http://127.0.0.1:1"), "KFP endpoint", "http://127.0.0.1:1 did not answer",
        "check --endpoint, and that its port-forward still runs",
    ),
    "no Secret for the runs": Fault(
        removed(*RUNS_SECRET), "keys for the runs", "no Secret ranklift-object-store in namespace kubeflow",
        "`kubectl create secret generic ranklift-object-store -n kubeflow",
    ),
    "a Secret whose keys have other names": Fault(
        edited(*RUNS_SECRET, data(accesskey="x", secretkey="y")), "keys for the runs",
        "has no AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY", "add what is missing",
    ),
    "a key that the store does not know": Fault(
        edited(*RUNS_SECRET, data(AWS_ACCESS_KEY_ID="nobody", AWS_SECRET_ACCESS_KEY="nothing")), "keys for the runs",
        "does not know the keys of Secret kubeflow/ranklift-object-store", "write the keys that the store has",
    ),
    "another account of the runs": Fault(
        stated(lambda settings: settings.update(service_account="nobody")), "account of the runs",
        "no ServiceAccount nobody in namespace kubeflow", "kubectl apply -k",
    ),
    "no token of Argo's executor": Fault(
        removed("secret", RUNS, "ranklift-executor-token"), "account of Argo's executor",
        "no Secret ranklift-executor-token with a token in namespace kubeflow", "kubectl apply -k",
    ),
    "no token of deploy": Fault(
        removed("secret", RUNS, "ranklift-deploy-token"), "tokens",
        "no Secret ranklift-deploy-token with a token in namespace kubeflow", "kubectl apply -k",
    ),
    "no ServiceAccount of the predictor": Fault(
        removed(*ACCOUNT), "keys for the predictor", "no ServiceAccount ranklift-predictor in namespace ranklift",
        "kubectl apply -k",
    ),
    "no Secret at the ServiceAccount": Fault(
        edited(*ACCOUNT, lambda account: account.pop("secrets")), "keys for the predictor",
        f"has no Secret with the annotation {S3}endpoint", "attach one under `secrets:`",
    ),
    "no annotations of the Secret": Fault(
        edited(*PREDICTOR_SECRET, without_notes), "keys for the predictor",
        f"has no Secret with the annotation {S3}endpoint", "annotate it",
    ),
    "a scheme in the annotation": Fault(
        edited(*PREDICTOR_SECRET, notes(endpoint="http://object-store:9000")), "keys for the predictor",
        "KServe puts a scheme before it", "write it as object-store:9000",
    ),
    "https to a store that speaks http": Fault(
        edited(*PREDICTOR_SECRET, notes(usehttps="1")), "keys for the predictor", "which speaks http",
        f'annotate it with {S3}usehttps: "0"',
    ),
    "a bucket that is not there": Fault(
        stated(lambda settings: settings["object_store"].update(bucket="nowhere")), "keys for the runs",
        "bucket nowhere", "name another bucket",
    ),
    "a store that is not there": Fault(
        stated(lambda settings: settings["object_store"].update(endpoint="http://nobody.ranklift-store.svc:9000")),
        "registry", "services/nobody", "kubectl get pods,endpointslices",
    ),
    "a record of the champion that is damaged": Fault(
        stored("champion.json", b"{"), "registry: champion", "champion.json", "`ranklift verify --namespace ranklift",
    ),
    "no configuration of KFP's launcher": Fault(
        removed(*LAUNCHER), "KFP's launcher", "artifacts go to KFP's own store", "kubectl apply -k",
    ),
    "a launcher with another endpoint": Fault(
        edited(*LAUNCHER, launcher("object-store.ranklift-store", "seaweedfs.kubeflow")), "KFP's launcher",
        "seaweedfs.kubeflow", "name a store that is there",
    ),
    "a launcher with another root": Fault(
        edited(*LAUNCHER, launcher("s3://ranklift/runs", "minio://mlpipeline")), "KFP's launcher",
        "is 'minio://mlpipeline'", "s3://ranklift/runs",
    ),
    "a KServe without a pod": Fault(
        awaited(
            edited("deployment", "kserve", "kserve-controller-manager", without_a_pod),
            has_pods("kserve", "kserve-controller-manager", 0), has_pods("kserve", "kserve-controller-manager", 1),
        ),
        "KServe", "KServe does not run", "kubectl scale",
    ),
    "the Gateway API switched off": Fault(
        edited("configmap", "kserve", "inferenceservice-config", without_gateway_api), "gateway",
        "enableGatewayApi is off", "inferenceservice-config",
    ),
    "a listener without its certificate": Fault(
        awaited(
            edited(*GATEWAY, with_a_certificate_that_is_not_there),
            lambda kubectl: not listeners_are_well(kubectl),
            listeners_are_well,
        ),
        "gateway", "nobody-made-this", "kubectl describe gateway -n kserve kserve-ingress-gateway",
    ),
    "a gateway that refuses the route": Fault(
        awaited(
            edited(*GATEWAY, with_routes_from_its_own_namespace_alone),
            lambda kubectl: not route_is_accepted(kubectl),
            lambda kubectl: route_is_accepted(kubectl) and is_ready(kubectl),
        ),
        "route", "is not Accepted", "allowedRoutes",
    ),
    "a certificate that nobody signs": Fault(
        added(CERTIFICATE), "KServe's webhooks", "Certificate ranklift-tests is not ready",
        "`kubectl describe certificate -n kserve ranklift-tests`",
    ),
    "no webhook that fetches models": Fault(
        removed("mutatingwebhookconfiguration", "", "inferenceservice.serving.kserve.io"), "KServe's webhooks",
        "no mutating webhook", "make kind-up",
    ),
    "an image that a pod cannot get": Fault(
        awaited(
            edited("inferenceservice", SERVING, NAME, with_an_image_that_is_not_there),
            has_a_pod_without_image, is_ready,
        ),
        "InferenceService", "registry.invalid", "`ranklift rollback --namespace ranklift`",
    ),
    "a deploy that another account may do": Fault(
        edited("rolebinding", SERVING, "ranklift-deploy", with_another_subject), "rights of deploy",
        "ServiceAccount ranklift-deploy of namespace kubeflow lacks the rule", "kubectl apply -k",
    ),
    "a deploy that reads every Secret": Fault(
        added(ROLE, ROLE_BINDING), "rights of deploy", "may read every Secret in namespace ranklift",
        "remove that rule from the Roles in ranklift",
    ),
    "no admission policy": Fault(
        removed("validatingadmissionpolicy", "", "ranklift-deploy-limits"), "admission policies",
        "no ValidatingAdmissionPolicy ranklift-deploy-limits", "kubectl apply -k",
    ),
    "an admission policy without its binding": Fault(
        removed("validatingadmissionpolicybinding", "", "ranklift-run-account"), "admission policies",
        "ranklift-run-account is not bound", "kubectl apply -k",
    ),
    "no Pod Security label": Fault(
        edited("namespace", "", SERVING, lambda found: found["metadata"]["labels"].pop(ENFORCE)), "Pod Security",
        f"no label {ENFORCE}", f"`kubectl label namespace ranklift --overwrite {ENFORCE}=restricted`",
    ),
    "no NetworkPolicy that denies": Fault(
        removed("networkpolicy", SERVING, "default-deny"), "NetworkPolicies", "no NetworkPolicy that denies",
        "kubectl apply -k",
    ),
    "an autoscaler left of a canary": Fault(
        added(AUTOSCALER), "leftovers", f"HorizontalPodAutoscaler {CANARY} was left",
        f"`kubectl delete horizontalpodautoscaler -n ranklift {CANARY}`",
    ),
    "a Deployment left of a canary": Fault(
        added(DEPLOYMENT), "leftovers", f"Deployment {CANARY} was left",
        f"`kubectl delete deployment -n ranklift {CANARY}`",
    ),
    "training on nodes without Trainer": Fault(
        stated(lambda settings: settings.update(train_job={"cpu": 1})), "Kubeflow Trainer",
        "Kubeflow Trainer is not installed", "install 2.3 or newer",
    ),
    "no room for a pod": Fault(
        awaited(without_room, is_not_ready, is_ready), "InferenceService", "exceeded quota",
        "`ranklift rollback --namespace ranklift`",
    ),
}  # fmt: skip
