"""Read an InferenceService; `components.deploy.cluster.patches` writes it."""

from collections.abc import Iterable
from typing import NamedTuple

from components.errors import RankliftError
from components.kubernetes.kinds import Manifest
from components.registry.version import is_version_name

CANARY = "canary"

CONTAINER = "kserve-container"
URI = "STORAGE_URI"
VERSION = "RANKLIFT_PREDICTOR_MODEL_VERSION"
MANIFEST = "RANKLIFT_PREDICTOR_MANIFEST_SHA256"
MODEL_DIR = "RANKLIFT_PREDICTOR_MODEL_DIR"
INDEX_DIR = "RANKLIFT_PREDICTOR_INDEX_DIR"
INDEX_MANIFEST = "RANKLIFT_PREDICTOR_INDEX_MANIFEST_SHA256"
NUMBER = "RANKLIFT_CHAMPION_NUMBER"
HEAD = "RANKLIFT_CHAMPION_HEAD"
PREVIOUS = "RANKLIFT_PREVIOUS_VERSION"
VERSION_LABEL = "app.kubernetes.io/version"
# Where KServe puts model and index, which it fetches by two addresses: it mounts what the two paths have in common.
MODEL_PLACE = "/mnt/models/model"
INDEX_PLACE = "/mnt/models/index"
_GAVE_UP = "ProgressDeadlineExceeded"
_BLOCKED = {"BlockedByFailedLoad", "InvalidSpec"}  # states in which KServe says that a model does not load


class Revision(NamedTuple):
    """One version in service, or to be put there."""

    version: str  #: such as "V3"
    storage_uri: str
    number: int = -1  #: of its entry in the champion's history; -1 where nobody wrote one
    head: str = ""  #: hash of that history
    previous: str = ""  #: the version to go back to
    manifest_sha256: str = ""  #: of the version's stored manifest: the predictor serves nothing else
    label: str = ""  #: that its pods carry for people; empty where they have none
    index_uri: str = ""  #: of the index that the model is searched with; empty where it has none
    index_sha256: str = ""  #: of that index's stored manifest

    @property
    def index_version(self) -> str:
        """Return the index version, such as "V1"; empty where there is none."""
        return self.index_uri.rstrip("/").rpartition("/")[2]

    @property
    def storage_uris(self) -> list[dict[str, str]]:
        """Return the URIs that KServe fetches and their mount paths; empty when the model's URI alone says it."""
        if not self.index_uri:
            return []
        return [
            {"uri": self.storage_uri, "mountPath": MODEL_PLACE},
            {"uri": self.index_uri, "mountPath": INDEX_PLACE},
        ]


def container_of(service: Manifest) -> Manifest:
    """Return the predictor's container.

    Raises:
        RankliftError: when there is none of the name that KServe looks for.
    """
    return _container(service["spec"].get("predictor", {}), service)


def revision_of(service: Manifest) -> Revision:
    """Return what the InferenceService asks for."""
    objects = (service["spec"]["predictor"], service["metadata"])
    labels = [(item.get("labels") or {}).get(VERSION_LABEL, "") for item in objects]
    return _revision(service["spec"]["predictor"], container_of(service))._replace(label=next(filter(None, labels), ""))


def canary_entry_of(service: Manifest) -> Manifest | None:
    """Return the entry of deploy's canary; None without one."""
    entries: list[Manifest] = service["spec"].get("canary") or []
    return next((entry for entry in entries if entry["predictor"].get("name") == CANARY), None)


def canary_of(service: Manifest) -> Revision | None:
    """Return the version that deploy's canary asks for; None without such a canary."""
    entry = canary_entry_of(service)
    return _revision(entry["predictor"], _container(entry["predictor"], service)) if entry is not None else None


def newest_number(service: Manifest) -> int:
    """Return the number of the newest champion that was ever deployed here, or is being deployed."""
    canary = canary_of(service)
    return max(revision_of(service).number, canary.number if canary else -1)


def is_ready(service: Manifest) -> bool:
    """Whether KServe calls it ready; during a rollout this also counts the previous pods."""
    return _condition(service, "Ready").get("status") == "True"


def canary_is_ready(service: Manifest) -> bool:
    """Whether deploy's canary has a pod that serves."""
    return any(state.get("name") == CANARY and state.get("ready") for state in _canary_states(service))


def canary_is_gone(service: Manifest) -> bool:
    """Whether KServe has removed deploy's canary."""
    return all(state.get("name") != CANARY for state in _canary_states(service))


def stopped_progressing(service: Manifest) -> bool:
    """Whether the Deployment gave up: no pod of it became ready within its progress deadline.

    KServe has no field for that deadline and sets back what somebody else writes into the Deployment, so it is always
    the 10 minutes of Kubernetes. From then on KServe calls the predictor not ready, whatever pods of before serve.
    """
    return _condition(service, "PredictorReady").get("reason") == _GAVE_UP


def complaint_of(service: Manifest) -> str:
    """Return what KServe says is wrong with it; empty when nothing."""
    failure = service.get("status", {}).get("modelStatus", {}).get("lastFailureInfo", {})
    # KServe keeps it after a load that failed once and succeeded when it was tried again.
    if failure.get("message") and _is_blocked(service):
        return f"{failure.get('reason', 'failure')}: {failure['message'].strip()}"
    for name in ("PredictorReady", "IngressReady", "Ready"):
        condition = _condition(service, name)
        if condition.get("status", "True") != "True":
            said = " ".join(filter(None, [condition.get("reason"), condition.get("message")]))
            return f"{name} is {condition['status']}" + (f": {said}" if said else "")
    return ""


def has_failed(service: Manifest) -> bool:
    """Whether KServe says that the model will not load, and no previous pod serves."""
    return _is_blocked(service) and _condition(service, "Ready").get("status") == "False"


def address_of(service: Manifest, canary: bool = False) -> str:
    """Return the URL at which the cluster's own pods reach the predictor, or deploy's canary."""
    host = f"{service_name(service, canary)}.{service['metadata']['namespace']}.svc.cluster.local"
    told = service.get("status", {}).get("address", {}).get("url", "")
    return told.rstrip("/") if told and not canary else f"http://{host}"


def service_name(service: Manifest, canary: bool = False) -> str:
    """Return the Service in front of the predictor's pods, or of deploy's canary."""
    return f"{service['metadata']['name']}{f'-{CANARY}' if canary else ''}-predictor"


def runs(pod: Manifest, wanted: Revision) -> bool:
    """Whether a pod was made to serve a version with its index."""
    containers: Iterable[Manifest] = pod["spec"]["containers"]
    found = [_revision({}, item) for item in containers if item["name"] == CONTAINER]
    return any((it.version, it.index_sha256) == (wanted.version, wanted.index_sha256) for it in found)


def _is_blocked(service: Manifest) -> bool:
    """Whether KServe says that the requested model does not load."""
    return service.get("status", {}).get("modelStatus", {}).get("transitionStatus") in _BLOCKED


def _canary_states(service: Manifest) -> list[Manifest]:
    states: list[Manifest] = service.get("status", {}).get("canaryStatuses") or []
    return states


def _container(predictor: Manifest, service: Manifest) -> Manifest:
    for container in predictor.get("containers", []):
        if container["name"] == CONTAINER:
            found: Manifest = container
            return found
    meta = service["metadata"]
    raise RankliftError(
        f"InferenceService {meta['name']} in namespace {meta['namespace']} has no container named {CONTAINER}; apply "
        "kserve/inference-service.yaml."
    )


def _revision(predictor: Manifest, container: Manifest) -> Revision:
    variables = {item["name"]: item.get("value", "") for item in container.get("env", [])}
    uris = {item.get("mountPath", ""): item["uri"] for item in predictor.get("storageUris") or []}
    uri = variables.get(URI, "") or uris.get(MODEL_PLACE, "")
    version = variables.get(VERSION, "") or uri.rstrip("/").rpartition("/")[2]
    number = variables.get(NUMBER, "")
    previous = variables.get(PREVIOUS, "")
    return Revision(
        version,
        uri,
        int(number) if number.isdigit() else -1,
        variables.get(HEAD, ""),
        previous if is_version_name(previous) else "",
        variables.get(MANIFEST, ""),
        index_uri=uris.get(INDEX_PLACE, ""),
        index_sha256=variables.get(INDEX_MANIFEST, ""),
    )


def _condition(service: Manifest, name: str) -> dict[str, str]:
    conditions = service.get("status", {}).get("conditions", [])
    return next((item for item in conditions if item["type"] == name), {})
