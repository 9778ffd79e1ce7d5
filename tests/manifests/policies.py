"""The rules that every manifest of ours keeps; each function names what breaks its rule."""

import re
from collections.abc import Callable, Iterator, Mapping

from tests.manifests.rendering import Document

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


#: (account, namespace) → what it may do: (API group, resource, names, verbs). Nobody of ours may do anything else.
RIGHTS = {
    ("ranklift-pipeline", "kubeflow"): {
        ("", "configmaps", ("kfp-launcher",), ("get",)),
        ("", "secrets", ("mlpipeline-minio-artifact",), ("get",)),
    },
    ("ranklift-executor", "kubeflow"): {("argoproj.io", "workflowtaskresults", (), ("create", "patch"))},
    ("ranklift-deploy", "ranklift"): {
        ("serving.kserve.io", "inferenceservices", ("ranklift",), ("get", "patch", "watch")),
        ("gateway.networking.k8s.io", "httproutes", ("ranklift", "ranklift-predictor"), ("get",)),
        ("", "pods", (), ("get", "list")),
        ("", "events", (), ("get", "list")),
        ("", "pods/log", (), ("get",)),
    },
}

#: The same of the account that the component train-jobs adds.
TRAIN_RIGHTS = {
    ("ranklift-train", "kubeflow"): {
        ("trainer.kubeflow.org", "trainjobs", (), ("create", "get", "watch", "delete")),
        ("", "pods", (), ("list",)),
        ("", "pods/log", (), ("get",)),
    },
}


def accounts_have_their_rights_alone(documents: list[Document]) -> list[str]:
    """Each account may do what is listed above, in the namespace that is listed, and nothing else anywhere."""
    broken = [
        f"{document['kind']} {document['metadata']['name']} reaches every namespace"
        for document in documents
        if document["kind"] in ("ClusterRole", "ClusterRoleBinding")
    ]
    granted = granted_by(documents)
    for account, place in sorted({*granted, *RIGHTS}):
        found, wanted = granted.get((account, place), set()), RIGHTS.get((account, place), set())
        broken += [f"{account} may not do {right} in {place}, which it needs" for right in sorted(wanted - found)]
        broken += [f"{account} may do {right} in {place}" for right in sorted(found - wanted)]
    return broken


def granted_by(
    documents: list[Document],
) -> dict[tuple[str, str], set[tuple[str, str, tuple[str, ...], tuple[str, ...]]]]:
    """(account, namespace) → what roles and bindings let it do there."""
    roles = {
        (document["metadata"]["namespace"], document["metadata"]["name"]): document["rules"]
        for document in documents
        if document["kind"] == "Role"
    }
    granted: dict[tuple[str, str], set[tuple[str, str, tuple[str, ...], tuple[str, ...]]]] = {}
    for binding in (document for document in documents if document["kind"] == "RoleBinding"):
        place = binding["metadata"]["namespace"]
        for subject in binding["subjects"]:
            rights = granted.setdefault((subject["name"], place), set())
            rights |= {right for rule in roles[place, binding["roleRef"]["name"]] for right in _rights(rule)}
    return granted


def _rights(rule: Document) -> Iterator[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            yield group, resource, tuple(rule.get("resourceNames", ())), tuple(rule["verbs"])


def tokens_are_not_mounted(documents: list[Document]) -> list[str]:
    """Only the account of the runs has one in its pods: Kubeflow's launcher, in every stage's container, needs it."""
    return [
        f"ServiceAccount {document['metadata']['name']}"
        for document in documents
        if document["kind"] == "ServiceAccount"
        and document["metadata"]["name"] != "ranklift-pipeline"
        and document.get("automountServiceAccountToken") is not False
    ]


def long_lived_tokens_are_few(documents: list[Document]) -> list[str]:
    """Tokens that do not expire: those of the two accounts that not every pod of a run may act as."""
    tokens = {
        document["metadata"]["annotations"]["kubernetes.io/service-account.name"]
        for document in documents
        if document["kind"] == "Secret" and document.get("type") == "kubernetes.io/service-account-token"
    }
    return [f"ServiceAccount {name}" for name in sorted(tokens ^ {"ranklift-executor", "ranklift-deploy"})]


def allowed_traffic_names_both_ends(documents: list[Document]) -> list[str]:
    """A policy that lets pods of a namespace speak to each other says which; an open port says its number."""
    broken = []
    for document in documents:
        if document["kind"] != "NetworkPolicy":
            continue
        name = f"NetworkPolicy {document['metadata']['name']} in {document['metadata'].get('namespace')}"
        rules = [*document["spec"].get("ingress", ()), *document["spec"].get("egress", ())]
        peers = [peer for rule in rules for peer in [*rule.get("from", ()), *rule.get("to", ())]]
        broken += [f"{name} means every pod" for peer in peers if peer.get("podSelector") == {}]
        broken += [f"{name} means every port anywhere" for rule in rules if not rule]
    return broken


POLICIES: Mapping[str, Callable[[list[Document]], list[str]]] = {
    policy.__name__: policy
    for policy in (
        images_are_pinned,
        containers_cannot_harm,
        containers_have_bounds,
        servers_have_probes,
        namespaces_deny_by_default,
        namespaces_are_restricted,
        accounts_have_their_rights_alone,
        tokens_are_not_mounted,
        long_lived_tokens_are_few,
        allowed_traffic_names_both_ends,
    )
}
