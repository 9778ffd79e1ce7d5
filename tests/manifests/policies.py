"""The rules that every manifest of ours keeps; each function names what breaks its rule."""

import re
from collections.abc import Callable, Iterator, Mapping

from tests.manifests.rendering import Document

DEPLOYING = "ranklift-deploy"
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job")


def pod_specs(documents: list[Document]) -> Iterator[tuple[str, str, Document]]:
    """(kind, name, pod spec) of everything that runs."""
    for document in documents:
        name = document["metadata"]["name"]
        if document["kind"] in _WORKLOADS:
            yield document["kind"], name, document["spec"]["template"]["spec"]
        elif document["kind"] == "InferenceService":
            yield document["kind"], name, document["spec"]["predictor"]


def containers(documents: list[Document]) -> Iterator[tuple[str, Document, Document]]:
    """(where, pod spec, container) of everything that runs."""
    for kind, name, pod in pod_specs(documents):
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            yield f"{kind} {name}, container {container['name']}", pod, container


def images_are_pinned(documents: list[Document]) -> list[str]:
    return [
        f"{where}: {container['image']}"
        for where, _, container in containers(documents)
        if not is_pinned(container["image"])
    ]


def is_pinned(image: str) -> bool:
    """Whether an image's name has a digest or a tag that says which release it is."""
    tag = image.rpartition("/")[2].partition(":")[2]
    return "@sha256:" in image or (bool(re.search(r"\d", tag)) and tag not in ("latest", "main", "master"))


def containers_cannot_harm(documents: list[Document]) -> list[str]:
    """What Pod Security `restricted` asks, and a read-only root besides."""
    broken = []
    for where, pod, container in containers(documents):
        shared, own = pod.get("securityContext", {}), container.get("securityContext", {})
        seccomp = own.get("seccompProfile", shared.get("seccompProfile", {})).get("type")
        kept = {
            "runs as root": own.get("runAsNonRoot", shared.get("runAsNonRoot")) is True,
            "has no numeric user": own.get("runAsUser", shared.get("runAsUser", 0)) > 0,
            "has a writable root": own.get("readOnlyRootFilesystem") is True,
            "may gain privileges": own.get("allowPrivilegeEscalation") is False,
            "keeps capabilities": own.get("capabilities", {}).get("drop") == ["ALL"],
            "has no seccomp profile": seccomp == "RuntimeDefault",
            "is on the host's network": not any(pod.get(f"host{part}") for part in ("Network", "PID", "IPC")),
        }
        broken += [f"{where} {fault}" for fault, keeps in kept.items() if not keeps]
    return broken


def containers_have_bounds(documents: list[Document]) -> list[str]:
    return [
        f"{where}: no {bound} of {resource}"
        for where, _, container in containers(documents)
        for bound in ("requests", "limits")
        for resource in ("cpu", "memory")
        if resource not in container.get("resources", {}).get(bound, {})
    ]


def servers_have_probes(documents: list[Document]) -> list[str]:
    """Jobs end by themselves; whatever serves is asked whether it does."""
    return [
        f"{where}: no {probe}"
        for where, _, container in containers(documents)
        if not where.startswith("Job ")
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
        if probe not in container
    ]


def namespaces_deny_by_default(documents: list[Document]) -> list[str]:
    """Every namespace that anything of ours is in has a policy that lets nothing in and nothing out."""
    namespaces = {document["metadata"].get("namespace") for document in documents} - {None}
    namespaces |= {document["metadata"]["name"] for document in documents if document["kind"] == "Namespace"}
    denied = {
        document["metadata"]["namespace"]
        for document in documents
        if document["kind"] == "NetworkPolicy"
        and document["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    }
    return [f"namespace {namespace}" for namespace in sorted(namespaces - denied)]


def namespaces_are_restricted(documents: list[Document]) -> list[str]:
    return [
        f"namespace {document['metadata']['name']}"
        for document in documents
        if document["kind"] == "Namespace"
        and document["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted"
    ]


_DEPLOYING_RULE = {
    "apiGroups": ["serving.kserve.io"],
    "resources": ["inferenceservices"],
    "verbs": ["get", "patch", "watch"],
}


def pipeline_changes_one_kind(documents: list[Document]) -> list[str]:
    """Where the predictor serves, the pipeline may get, patch and watch InferenceServices, and nothing else."""
    broken = []
    for document in documents:
        kind, name = document["kind"], document["metadata"]["name"]
        if kind in ("ClusterRole", "ClusterRoleBinding"):
            broken.append(f"{kind} {name} reaches every namespace")
        if kind == "Role" and document["metadata"]["namespace"] == "ranklift":
            known = name == DEPLOYING and document["rules"] == [_DEPLOYING_RULE]
            broken += [] if known else [f"Role {name}: {document['rules']}"]
        if kind in ("Role", "ClusterRole"):
            rules = document["rules"]
            words = [word for rule in rules for key in ("apiGroups", "resources", "verbs") for word in rule[key]]
            broken += [f"{kind} {name} has a wildcard"] if "*" in words else []
            broken += _unnamed_secrets(name, rules)
    return broken


def _unnamed_secrets(name: str, rules: list[Document]) -> list[str]:
    return [
        f"Role {name} reads every {resource}"
        for rule in rules
        for resource in ("secrets", "configmaps")
        if resource in rule["resources"] and (not rule.get("resourceNames") or rule["verbs"] != ["get"])
    ]


def tokens_are_not_mounted(documents: list[Document]) -> list[str]:
    """Only who speaks to Kubernetes has a token: the pipeline."""
    return [
        f"ServiceAccount {document['metadata']['name']}"
        for document in documents
        if document["kind"] == "ServiceAccount"
        and document["metadata"]["name"] != "ranklift-pipeline"
        and document.get("automountServiceAccountToken") is not False
    ]


POLICIES: Mapping[str, Callable[[list[Document]], list[str]]] = {
    policy.__name__: policy
    for policy in (
        images_are_pinned,
        containers_cannot_harm,
        containers_have_bounds,
        servers_have_probes,
        namespaces_deny_by_default,
        namespaces_are_restricted,
        pipeline_changes_one_kind,
        tokens_are_not_mounted,
    )
}
