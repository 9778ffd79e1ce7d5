"""Faults of a stand-in cluster: how each is planted, which check finds it, what it says, and what repairs it."""

from tests.pipeline.conftest import change_service
from tests.standins.cluster_store import POD, secret
from tests.standins.doctor_cluster import (
    IMAGE,
    binding,
    certificate,
    deployment,
    gateway,
    inferenceservice_config,
    launcher,
    listener,
    namespace,
    route,
    webhook,
)
from tests.standins.kserve_controller import POD_FAULTS, _pod

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


def close_the_way(cluster):
    """KServe's view of pods that serve, and to which no route leads."""
    states = {"PredictorReady": "True", "IngressReady": "False", "Ready": "False"}
    conditions = [{"type": name, "status": status, "message": "route not ready"} for name, status in states.items()]
    cluster.set_status("inferenceservices", "ranklift", "ranklift", {"conditions": conditions})


def refuse_the_route(cluster):
    close_the_way(cluster)
    cluster.put("httproutes", route("False"))


def keep_of_the_canary(*plurals):
    """Objects that a canary had."""

    def act(cluster):
        for plural in plurals:
            cluster.put(plural, {"metadata": {"name": "ranklift-canary-predictor", "namespace": "ranklift"}})

    return act


def scale_kserve_to_nothing(cluster):
    found = deployment("kserve-controller-manager", "kserve", "kserve/kserve-controller:v0.21.0")
    found["spec"]["replicas"] = 0
    cluster.put("deployments", found)


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
    "a launcher with a store that is not there": (
        put("configmaps", launcher("s3://ranklift/runs", "http://seaweedfs.kubeflow.svc:9000")), "KFP's launcher",
        "seaweedfs", "name a store that is there",
    ),
    "no account of Argo's executor": (
        remove("serviceaccounts", "kubeflow", "ranklift-executor"), "account of Argo's executor",
        "no ServiceAccount ranklift-executor in namespace kubeflow", "kubectl apply -k",
    ),
    "no token of Argo's executor": (
        remove("secrets", "kubeflow", "ranklift-executor-token"), "account of Argo's executor",
        "no Secret ranklift-executor-token with a token in namespace kubeflow", "kubectl apply -k",
    ),
    "an old KServe": (
        put("deployments", deployment("kserve-controller-manager", "kserve", "kserve/kserve-controller:v0.15.2")),
        "KServe", "KServe 0.15", "upgrade it to 0.21",
    ),
    "a KServe that does not run": (
        put("deployments", deployment("kserve-controller-manager", "kserve", "kserve/controller:v0.21.0", "False")),
        "KServe", "KServe does not run", "kubectl describe pods -n kserve",
    ),
    "a KServe that is scaled to nothing": (
        scale_kserve_to_nothing, "KServe", "Deployment kserve-controller-manager is scaled to 0",
        "`kubectl scale -n kserve deploy/kserve-controller-manager --replicas=1`",
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
        "no validating webhook inferenceservice.serving.kserve.io", "make kind-up",
    ),
    "no webhook that gives pods their model": (
        remove("mutatingwebhookconfigurations", "", "inferenceservice.serving.kserve.io"), "KServe's webhooks",
        "no mutating webhook inferenceservice.serving.kserve.io: a new pod of the predictor gets no model",
        "make kind-up",
    ),
    "the Gateway API switched off": (
        put("configmaps", inferenceservice_config(enableGatewayApi=False)), "gateway", "enableGatewayApi is off",
        "inferenceservice-config",
    ),
    "a gateway that is not programmed": (
        put("gateways", GATEWAY), "gateway", "is not programmed", "envoy-gateway-system",
    ),
    "a listener without its certificate": (
        put("gateways", gateway(listener("http"), listener("https", "Secret tls does not exist"))), "gateway",
        "listener https is not ResolvedRefs: Secret tls does not exist", "kubectl describe gateway -n kserve",
    ),
    "a route that is refused": (
        refuse_the_route, "route", "not Accepted: no listener allows it", "allowedRoutes",
    ),
    "a way that KServe does not open": (
        close_the_way, "InferenceService", "the way to them is not: IngressReady is False: route not ready",
        "kubectl logs -n kserve deploy/kserve-controller-manager",
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
        keep_of_the_canary("horizontalpodautoscalers"), "leftovers",
        "HorizontalPodAutoscaler ranklift-canary-predictor was left",
        "`kubectl delete horizontalpodautoscaler -n ranklift ranklift-canary-predictor`",
    ),
    "a Deployment and a route left of a canary": (
        keep_of_the_canary("deployments", "httproutes"), "leftovers",
        "Deployment and HTTPRoute ranklift-canary-predictor were left",
        "`kubectl delete deployment,httproute -n ranklift ranklift-canary-predictor`",
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
