"""States that a cluster comes to after a while: whether it has come to one now."""

from collections.abc import Callable

from tests.cluster.conftest import NAME, SERVING
from tests.cluster.kubectl import Kubectl

PODS = f"serving.kserve.io/inferenceservice={NAME}"  #: the label of the predictor's pods


def state_of(kubectl: Kubectl, kind: str, namespace: str, name: str, condition: str) -> str:
    """The status of a condition; empty where nobody wrote it for the object as it is now."""
    found = kubectl.json("get", kind, name, "-n", namespace)
    generation, status = found["metadata"].get("generation"), found.get("status", {})
    if status.get("observedGeneration", generation) != generation:
        return ""
    return next((str(item["status"]) for item in status.get("conditions", []) if item["type"] == condition), "")


def is_ready(kubectl: Kubectl) -> bool:
    """Whether the InferenceService is Ready, with one pod, which is ready."""
    pods = kubectl.items("pod", SERVING, PODS)
    conditions = [item for pod in pods for item in pod["status"].get("conditions", [])]
    ready = [item["status"] for item in conditions if item["type"] == "Ready"]
    return state_of(kubectl, "inferenceservice", SERVING, NAME, "Ready") == "True" and ready == ["True"]


def is_not_ready(kubectl: Kubectl) -> bool:
    return state_of(kubectl, "inferenceservice", SERVING, NAME, "Ready") == "False"


def has_a_pod_without_image(kubectl: Kubectl) -> bool:
    pods = kubectl.items("pod", SERVING, PODS)
    states = [item["state"] for pod in pods for item in pod["status"].get("containerStatuses", [])]
    return any(state.get("waiting", {}).get("reason") == "ErrImageNeverPull" for state in states)


def listeners_are_well(kubectl: Kubectl) -> bool:
    """Whether each condition of each listener of the gateway holds."""
    found = kubectl.json("get", "gateway", "-n", "kserve", "kserve-ingress-gateway")["status"]["listeners"]
    return all(item["status"] == "True" for listener in found for item in listener["conditions"])


def has_pods(namespace: str, name: str, count: int) -> Callable[[Kubectl], bool]:
    """Whether a Deployment has this many pods that are available, and no other."""

    def look(kubectl: Kubectl) -> bool:
        status = kubectl.json("get", "deployment", name, "-n", namespace)["status"]
        return (status.get("replicas", 0), status.get("availableReplicas", 0)) == (count, count)

    return look


def route_is_accepted(kubectl: Kubectl) -> bool:
    parents = kubectl.json("get", "httproute", NAME, "-n", SERVING)["status"]["parents"]
    return all(item["status"] == "True" for parent in parents for item in parent["conditions"])
