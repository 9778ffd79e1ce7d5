"""Who may speak to whom, as manifests/README.md promises it: probes in everybody's place, and a row for each policy.

What is in no row is refused. Where it can be, a target is the server itself, so that its labels are the real ones.
"""

from typing import NamedTuple

from tests.cluster.kubectl import Kubectl
from tests.cluster.probes import OPEN, PLAYGROUND, Address, Probe, Probes, endpoint

_RUN = {"pipeline/runid": "0", "workflows.argoproj.io/workflow": "probe"}
_SERVER = {"application-crd-id": "kubeflow-pipelines"}
_PREDICTOR = "serving.kserve.io/inferenceservice"
_GATEWAY = "gateway.envoyproxy.io/owning-gateway"


def _stage(name: str) -> Probe:
    return Probe(name, "kubeflow", {**_RUN, "ranklift.dev/stage": name})


PROBES = (
    Probe("driver", "kubeflow", _RUN),
    *map(_stage, ("train", "gate", "promote", "deploy")),
    Probe("run-with-labels-of-a-server", "kubeflow", {**_RUN, **_SERVER, "app": "ml-pipeline"}),
    Probe("train-node", "kubeflow", {"jobset.sigs.k8s.io/jobset-name": "probe"}),
    Probe("api-server", "kubeflow", {**_SERVER, "app": "ml-pipeline"}),
    Probe("page", "kubeflow", {**_SERVER, "app": "ml-pipeline-ui"}, ports=(3000,)),
    Probe("scheduler", "kubeflow", {**_SERVER, "app": "ml-pipeline-scheduledworkflow"}),
    Probe("cache", "kubeflow", {**_SERVER, "app": "cache-server"}, ports=(8443,)),
    Probe("metadata-server", "kubeflow", {**_SERVER, "component": "metadata-grpc-server"}),
    Probe("database", "kubeflow", {**_SERVER, "app": "mysql"}),
    Probe("nobody-in-kubeflow", "kubeflow"),
    Probe("predictor", "ranklift", {_PREDICTOR: "ranklift"}, ports=(8080, 8082)),
    Probe("another-predictor", "ranklift", {_PREDICTOR: "another"}, ports=(8080,)),
    Probe("nobody-in-ranklift", "ranklift"),
    Probe("job-of-the-store", "ranklift-store", {"app.kubernetes.io/name": "object-store"}),
    Probe("nobody-in-the-store", "ranklift-store"),
    Probe("kserve", "kserve"),
    Probe(
        "gateway",
        "envoy-gateway-system",
        {f"{_GATEWAY}-namespace": "kserve", f"{_GATEWAY}-name": "kserve-ingress-gateway"},
    ),
    Probe("monitoring", "monitoring"),
    Probe("stranger", PLAYGROUND),
    Probe("outside", PLAYGROUND, ports=(443, 6443)),
    Probe("walled", PLAYGROUND),  # behind the policy that shows whether policies count at all
)
#: Who may go anywhere, as far as we say: their namespaces are not ours.
_FREE = ("gateway", "monitoring", "stranger")
_CACHED = ("driver", "train", "gate", "run-with-labels-of-a-server")
_RUNS = (*_CACHED, "promote", "deploy")
_SERVERS = ("api-server", "page", "scheduler", "cache", "metadata-server")
#: Ports of probes, by the target's name.
_OF_PROBES = {
    "page": ("page", 3000),
    "cache-webhook": ("cache", 8443),
    "train-port": ("train", OPEN),
    "train-node-port": ("train-node", OPEN),
    "nobody-port": ("nobody-in-kubeflow", OPEN),
    "predictor": ("predictor", 8080),
    "predictor-metrics": ("predictor", 8082),
    "predictor-port": ("predictor", OPEN),
    "another-predictor": ("another-predictor", 8080),
    "store-port": ("job-of-the-store", OPEN),
    "kserve-port": ("kserve", OPEN),
    "outside-443": ("outside", 443),
    "outside-6443": ("outside", 6443),
    "outside-port": ("outside", OPEN),
}
#: Servers that every cluster of ours has: namespace, Service and the pod's port.
_SERVICES = {
    "mysql": ("kubeflow", "mysql", 3306),
    "api": ("kubeflow", "ml-pipeline", 8887),
    "api-http": ("kubeflow", "ml-pipeline", 8888),
    "metadata": ("kubeflow", "metadata-grpc-service", 8080),
    "store": ("ranklift-store", "object-store", 9000),
    "kserve-webhook": ("kserve", "kserve-webhook-server-service", 9443),
    "kubernetes": ("default", "kubernetes", 0),
    "dns": ("kube-system", "kube-dns", 53),
}
TARGETS = (*_SERVICES, *_OF_PROBES)
_HTTPS = ("kubernetes", "outside-443", "outside-6443")


class Row(NamedTuple):
    """Traffic that policies allow."""

    policies: tuple[str, ...]  #: namespace/name, of both ends
    sources: tuple[str, ...]
    targets: tuple[str, ...]


ROWS = (
    Row(
        ("kubeflow/dns", "ranklift/dns", "ranklift-store/dns", "kserve/dns"),
        tuple(probe.name for probe in PROBES if probe.namespace != PLAYGROUND),
        ("dns",),
    ),
    Row(("kubeflow/runs-to-metadata", "kubeflow/metadata-from-runs"), _RUNS, ("metadata",)),
    Row(
        ("kubeflow/cached-stages-and-drivers-to-the-api", "kubeflow/api-from-cached-stages-and-drivers"),
        _CACHED,
        ("api",),
    ),
    Row(("kubeflow/runs-to-kubernetes-and-https",), _RUNS, _HTTPS),
    Row(("kubeflow/runs-to-the-object-store", "ranklift-store/s3-from-pipeline-and-predictors"), _RUNS, ("store",)),
    Row(
        ("kubeflow/smoke-query-to-the-predictor", "ranklift/smoke-query-from-the-pipeline"),
        ("deploy",),
        ("predictor",),
    ),
    Row(("ranklift/queries-from-the-gateway",), ("gateway",), ("predictor",)),
    Row(("ranklift/metrics-from-monitoring",), ("monitoring",), ("predictor-metrics",)),
    Row(
        ("ranklift/model-from-the-store", "ranklift-store/s3-from-pipeline-and-predictors"), ("predictor",), ("store",)
    ),
    Row(
        ("kubeflow/servers-to-each-other",),
        _SERVERS,
        ("api", "api-http", "metadata", "page", "cache-webhook"),
    ),
    Row(("kubeflow/servers-to-the-database", "kubeflow/database"), ("api-server", "cache"), ("mysql",)),
    Row(("kubeflow/metadata-to-the-database", "kubeflow/database"), ("metadata-server",), ("mysql",)),
    Row(("kubeflow/servers-to-kubernetes",), ("api-server", "page", "scheduler", "cache"), _HTTPS),
    Row(
        ("kubeflow/servers-to-the-object-store", "ranklift-store/s3-from-pipeline-and-predictors"),
        ("api-server", "page"),
        ("store",),
    ),
    Row(("kubeflow/webhook",), _FREE, ("cache-webhook",)),
    Row(("kubeflow/page-from-the-gateway",), ("gateway",), ("page",)),
    Row(
        ("kubeflow/train-nodes", "ranklift-store/s3-from-pipeline-and-predictors"),
        ("train-node",),
        ("train-node-port", "store", "outside-443"),
    ),
    Row(("kserve/webhooks",), _FREE, ("kserve-webhook",)),
    Row(("kserve/kubernetes",), ("kserve",), _HTTPS),
    Row(("ranklift-store/within-the-store",), ("job-of-the-store",), ("store", "store-port")),
    Row((), _FREE, (*_HTTPS, "outside-port", "dns")),
)
#: Policies that only some clusters have → where they are written; the tests add a copy for as long as they run.
OPTIONAL = {
    "kubeflow/page-from-the-gateway": "overlays/kind/pipelines-route.yaml",
    "kubeflow/train-nodes": "train-jobs/network-policies.yaml",
}
#: What listens is shown by a probe that speaks to itself, which no policy forbids.
ITSELF = {target: probe for target, (probe, _) in _OF_PROBES.items()}
#: Only there to listen.
_SILENT = ("outside", "walled")
SOURCES = tuple(probe.name for probe in PROBES if probe.name not in _SILENT)
ALLOWED = {(source, target) for row in ROWS for source in row.sources for target in row.targets}
PAIRS = tuple((source, target) for source in SOURCES for target in TARGETS if ITSELF.get(target) != source)


def _may_be_refused(pair: tuple[str, str]) -> bool:
    """Whether a refusal is ours to promise.

    A plug-in may let every pod reach the node that it is on, and the Kubernetes API server may be on that node; the
    same policies refuse "outside-443" and "outside-6443". And a cluster may put another server in the place of
    Kubeflow's page.
    """
    return pair[1] != "kubernetes" and pair != ("gateway", "api-http")


REFUSED = tuple(pair for pair in PAIRS if pair not in ALLOWED and _may_be_refused(pair))


def addresses(kubectl: Kubectl, probes: Probes) -> dict[str, Address]:
    """Return where each target listens."""
    services = {name: endpoint(kubectl, *where) for name, where in _SERVICES.items()}
    return services | {name: probes.address(probe, port) for name, (probe, port) in _OF_PROBES.items()}
