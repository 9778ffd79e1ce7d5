"""What the pods of a TrainJob's nodes say: how many run, what keeps them from it, and how their logs end."""

from typing import NamedTuple

from components.kubernetes.api import KubernetesApi
from components.kubernetes.errors import KubernetesError
from components.kubernetes.kinds import PODS, Manifest

_LABEL = "jobset.sigs.k8s.io/jobset-name"
_INDEX = "batch.kubernetes.io/job-completion-index"
_CONTAINER = "node"
_HOPELESS = {"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"}
_LINES = 20


class Seen(NamedTuple):
    """The pods at one moment."""

    running: int = 0
    waiting: str = ""  #: what one of them waits for
    hopeless: str = ""  #: what no waiting will change
    progress: str = ""  #: the last line that the first node's log has


def look(api: KubernetesApi, namespace: str, job: str) -> Seen:
    """How the nodes are; nothing is known where the Role does not let us look."""
    try:
        pods = _pods(api, namespace, job)
        running = [pod for pod in pods if pod.get("status", {}).get("phase") == "Running"]
        waiting = [said for pod in pods if (said := _waits_for(pod))]
        hopeless = [said for pod in pods if (said := _hopeless(pod))]
        first = next((pod for pod in running if _index(pod) == "0"), None)
        progress = "" if first is None else api.log_tail(namespace, _name(first), _CONTAINER, False, 1)
    except KubernetesError as error:
        return Seen(waiting=str(error) if error.status == 403 else "")
    return Seen(len(running), next(iter(waiting), ""), next(iter(hopeless), ""), progress)


def ends(api: KubernetesApi, namespace: str, job: str) -> str:
    """How the logs of the nodes end that failed, or of all of them where none says that it did."""
    try:
        pods = sorted(_pods(api, namespace, job), key=_index)
        failed = [pod for pod in pods if _exit_code(pod)]
        return "".join(_end(api, namespace, pod) for pod in failed or pods)
    except KubernetesError as error:
        return f"\nIts logs could not be read: {error}"


def _end(api: KubernetesApi, namespace: str, pod: Manifest) -> str:
    code, reason = _exit_code(pod), _terminated(pod).get("reason", "")
    how = f" ended with exit code {code}{f' ({reason})' if reason and reason != 'Error' else ''}" if code else ""
    previous = bool(code) and "terminated" not in _state(pod)
    tail = api.log_tail(namespace, _name(pod), _CONTAINER, previous, _LINES)
    return f"\nNode {_index(pod)} (pod {_name(pod)}){how}; its log ends:\n{tail or '(it is empty)'}"


def _pods(api: KubernetesApi, namespace: str, job: str) -> list[Manifest]:
    pods = api.select(PODS, namespace, f"{_LABEL}={job}")
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def _waits_for(pod: Manifest) -> str:
    for condition in pod.get("status", {}).get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"pod {_name(pod)} is not scheduled: {condition.get('message', condition.get('reason'))}"
    return ""


def _hopeless(pod: Manifest) -> str:
    waiting = _state(pod).get("waiting", {})
    if waiting.get("reason") not in _HOPELESS:
        return ""
    return f"Pod {_name(pod)} does not start: {waiting['reason']}, {waiting.get('message', 'no message')}"


def _container(pod: Manifest) -> Manifest:
    statuses: list[Manifest] = pod.get("status", {}).get("containerStatuses", [])
    return next((status for status in statuses if status["name"] == _CONTAINER), {})


def _state(pod: Manifest) -> Manifest:
    found: Manifest = _container(pod).get("state", {})
    return found


def _terminated(pod: Manifest) -> Manifest:
    found: Manifest = _state(pod).get("terminated") or _container(pod).get("lastState", {}).get("terminated") or {}
    return found


def _exit_code(pod: Manifest) -> int:
    return int(_terminated(pod).get("exitCode", 0))


def _index(pod: Manifest) -> str:
    meta = pod["metadata"]
    return str(meta.get("labels", {}).get(_INDEX) or meta.get("annotations", {}).get(_INDEX) or "?")


def _name(pod: Manifest) -> str:
    return str(pod["metadata"]["name"])
