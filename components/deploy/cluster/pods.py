"""Why the pods of a version do not serve, as far as the Role lets deploy see them."""

from datetime import UTC, datetime
from typing import NamedTuple

from components.deploy.cluster.inference_service import Revision, runs, service_name
from components.kubernetes.api import KubernetesApi
from components.kubernetes.errors import KubernetesError
from components.kubernetes.kinds import EVENTS, PODS, Manifest

_IMAGE = {"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
_START = {"CreateContainerConfigError", "CrashLoopBackOff", "RunContainerError"}
_ENDED = {"Failed", "Succeeded"}
_LOG_LINES = 20


class Finding(NamedTuple):
    """What the pods say: a reason, and whether waiting longer can help."""

    sentence: str = ""
    hopeless: bool = False
    refused: str = ""  #: why the pods could not be looked at: worth saying where nothing else says what is wrong


def find_fault(api: KubernetesApi, service: Manifest, revision: Revision) -> Finding:
    """Return what keeps the pods that were made for a version and its index from serving."""
    try:
        pods = _pods(api, service)
    except KubernetesError as error:
        if error.status != 403:
            raise
        return Finding(refused=f"Its pods could not be looked at: {error}")
    findings = [_of(api, pod) for pod in pods if runs(pod, revision)]
    return next((found for found in findings if found.hopeless), next(filter(any, findings), Finding()))


def others_serve(api: KubernetesApi, service: Manifest, revision: Revision) -> bool:
    """Whether the stable predictor has pods of another version or index that nobody told to end.

    False where none may look.
    """
    canary = f"isvc.{service_name(service, canary=True)}"
    try:
        pods = _pods(api, service)
    except KubernetesError as error:
        if error.status != 403:
            raise
        return False
    stable = [pod for pod in pods if pod["metadata"].get("labels", {}).get("app") != canary]
    return any(not runs(pod, revision) for pod in stable)


def warnings_of(api: KubernetesApi, service: Manifest, since: datetime) -> str:
    """Return the latest warning since a time among the events about what KServe made; empty when there is none.

    Raises:
        KubernetesError: when the events cannot be read.
    """
    meta = service["metadata"]
    prefixes = (service_name(service), service_name(service, canary=True))
    found = [
        event
        for event in api.select(EVENTS, meta["namespace"])
        if event.get("type") == "Warning" and _is_about(event, meta["name"], prefixes) and _time_of(event) >= since
    ]
    if not found:
        return ""
    latest = max(found, key=_time_of)
    about = latest["involvedObject"]
    said = f"{latest.get('reason', 'Warning')}: {str(latest.get('message', '')).strip()}"
    return f"{about.get('kind', 'Object')} {about.get('name', '')}: {said}"


def _time_of(event: Manifest) -> datetime:
    told = str(event.get("lastTimestamp") or event.get("eventTime") or "")
    try:
        return datetime.fromisoformat(told)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


def _is_about(event: Manifest, name: str, prefixes: tuple[str, ...]) -> bool:
    about = event.get("involvedObject") or {}
    named = str(about.get("name", ""))
    return (about.get("kind"), named) == ("InferenceService", name) or named.startswith(prefixes)


def _pods(api: KubernetesApi, service: Manifest) -> list[Manifest]:
    meta = service["metadata"]
    pods = api.select(PODS, meta["namespace"], f"serving.kserve.io/inferenceservice={meta['name']}")
    # A pod that is being deleted belongs to a previous attempt; an evicted pod stays and serves nobody.
    return [
        pod
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"] and pod.get("status", {}).get("phase") not in _ENDED
    ]


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
        code = f", exit code {ended['exitCode']}" if "exitCode" in ended else ""
        reason = waiting.get("reason") or ended.get("reason", "Error")
        said = waiting.get("message", "") if not ended else ""
        log = _log(api, pod, state) if ended else ""
        # A container that failed once may come up after a restart; one in back-off has been restarted.
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
