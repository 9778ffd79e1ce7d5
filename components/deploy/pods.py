"""Why the pods of a version do not serve, as far as the Role lets deploy see them."""

from typing import NamedTuple

from components.deploy.inference_service import runs
from components.kubernetes_api import PODS, KubernetesApi, KubernetesError, Manifest

_IMAGE = {"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
_START = {"CreateContainerConfigError", "CrashLoopBackOff", "RunContainerError"}
_LOG_LINES = 20


class Finding(NamedTuple):
    """What the pods say: a reason, and whether waiting longer can help."""

    sentence: str = ""
    hopeless: bool = False


def find_fault(api: KubernetesApi, service: Manifest, version: str) -> Finding:
    """What keeps the pods that were made for a version from serving."""
    meta = service["metadata"]
    try:
        pods = api.select(PODS, meta["namespace"], f"serving.kserve.io/inferenceservice={meta['name']}")
    except KubernetesError as error:
        if error.status != 403:
            raise
        return Finding(f"Its pods could not be looked at: {error}")
    # One that is being deleted belongs to an attempt of before.
    ours = [pod for pod in pods if runs(pod, version) and "deletionTimestamp" not in pod["metadata"]]
    findings = [_of(api, pod) for pod in ours]
    return next((found for found in findings if found.hopeless), next(filter(any, findings), Finding()))


def _of(api: KubernetesApi, pod: Manifest) -> Finding:
    status, name = pod.get("status", {}), pod["metadata"]["name"]
    for state in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])):
        found = _of_container(api, pod, state)
        if found.sentence:
            return found
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return Finding(f"Pod {name} is not scheduled: {condition.get('message', condition.get('reason'))}")
    return Finding()


def _of_container(api: KubernetesApi, pod: Manifest, state: Manifest) -> Finding:
    if state.get("ready"):
        return Finding()  # whatever happened to it before
    where = f"Container {state['name']} of pod {pod['metadata']['name']}"
    waiting = state.get("state", {}).get("waiting", {})
    ended = state.get("state", {}).get("terminated") or state.get("lastState", {}).get("terminated") or {}
    if waiting.get("reason") in _IMAGE:
        return Finding(
            f"{where} cannot get its image {state.get('image', '')}: {waiting['reason']}, "
            f"{waiting.get('message', 'no message')}",
            True,
        )
    if ended.get("reason") == "OOMKilled":
        limits = _limits(pod, state["name"])
        again = "running" in state.get("state", {})
        return Finding(f"{where} ran out of memory (OOMKilled, limit {limits}); give it more", not again)
    if waiting.get("reason") in _START or (ended and ended.get("exitCode")):
        code = f", exit code {ended['exitCode']}" if ended else ""
        reason = waiting.get("reason") or ended.get("reason", "Error")
        said = waiting.get("message", "") if not ended else ""
        log = _log(api, pod, state) if ended else ""
        # One that failed once may come up when it is started again; one that waits to be started again has had that.
        sentence = f"{where} does not start: {reason}{code}{f', {said}' if said else ''}{log}"
        return Finding(sentence, waiting.get("reason") in _START)
    return Finding()


def _log(api: KubernetesApi, pod: Manifest, state: Manifest) -> str:
    meta = pod["metadata"]
    previous = not state.get("state", {}).get("terminated")
    try:
        tail = api.log_tail(meta["namespace"], meta["name"], state["name"], previous, _LOG_LINES)
    except KubernetesError as error:
        return f". Its log could not be read: {error}"
    return f". Its log ends:\n{tail}\n" if tail else ", with an empty log"


def _limits(pod: Manifest, container: str) -> str:
    for item in (*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]):
        if item["name"] == container:
            return str(item.get("resources", {}).get("limits", {}).get("memory", "none"))
    return "none"
