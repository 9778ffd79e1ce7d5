"""What deploy reads from an InferenceService and writes into it.

KServe's schema keeps ``containers`` as an atomic list: a server-side apply replaces it whole, so it is read, changed
in two variables, and applied with the resource version that was read. What deploy has to remember stands in further
variables of the same container, because KServe copies labels and annotations onto every pod: an annotation of the
canary's would restart what serves.
"""

import copy
from collections.abc import Iterable
from typing import Any, NamedTuple

from components.errors import RankliftError
from components.kubernetes_api import Manifest
from components.registry_version import is_version_name

MANAGER = "ranklift"
CANARY = "canary"

_CONTAINER = "kserve-container"
_URI = "STORAGE_URI"
_VERSION = "RANKLIFT_PREDICTOR_MODEL_VERSION"
_MANIFEST = "RANKLIFT_PREDICTOR_MANIFEST_SHA256"
_NUMBER = "RANKLIFT_CHAMPION_NUMBER"
_HEAD = "RANKLIFT_CHAMPION_HEAD"
_PREVIOUS = "RANKLIFT_PREVIOUS_VERSION"
_VERSION_LABEL = "app.kubernetes.io/version"


class Revision(NamedTuple):
    """One version in service, or to be put there."""

    version: str  #: such as "V3"
    storage_uri: str
    number: int = -1  #: of its entry in the champion's history; -1 where nobody wrote one
    head: str = ""  #: hash of that history
    previous: str = ""  #: the version to go back to
    manifest_sha256: str = ""  #: of the version's stored manifest: the predictor serves nothing else


def container_of(service: Manifest) -> Manifest:
    """The predictor's container.

    Raises:
        RankliftError: when there is none of the name that KServe looks for.
    """
    return _container(service["spec"].get("predictor", {}), service)


def revision_of(service: Manifest) -> Revision:
    """What the InferenceService asks for."""
    return _revision(container_of(service))


def canary_of(service: Manifest) -> Revision | None:
    """What its canary asks for; None when it has none of deploy's."""
    for canary in service["spec"].get("canary", []):
        if canary["predictor"].get("name") == CANARY:
            return _revision(_container(canary["predictor"], service))
    return None


def newest_number(service: Manifest) -> int:
    """The number of the latest champion that anybody deploys here or has deployed."""
    canary = canary_of(service)
    return max(revision_of(service).number, canary.number if canary else -1)


def changed(service: Manifest, revision: Revision, canary: Revision | None = None, percent: int = 0) -> Manifest:
    """The body of a server-side apply that asks for a revision; for a canary beside what there is when one is given."""
    meta, containers = service["metadata"], service["spec"]["predictor"]["containers"]
    labels = {_VERSION_LABEL: revision.version}
    spec: dict[str, Any] = {"predictor": {"containers": _with(containers, revision)}}
    if canary is not None:
        # What serves must not change by a hair beside a canary, or its pods would start anew.
        labels = {name: value for name, value in meta.get("labels", {}).items() if name == _VERSION_LABEL}
        spec["predictor"]["containers"] = copy.deepcopy(containers)
        # KServe takes from the stable predictor what the canary does not say; a list it takes whole.
        predictor = {"name": CANARY, "containers": _with(containers, canary)}
        spec["canary"] = [{"trafficPercent": percent, "predictor": predictor}]
    return {
        "apiVersion": service["apiVersion"],
        "kind": service["kind"],
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "resourceVersion": meta["resourceVersion"],
            "labels": labels,
        },
        "spec": spec,
    }


def is_ready(service: Manifest) -> bool:
    """Whether KServe calls it ready. During a rollout this is about the pods of before, too."""
    return _condition(service, "Ready").get("status") == "True"


def canary_is_ready(service: Manifest) -> bool:
    """Whether deploy's canary has a pod that serves."""
    states = service.get("status", {}).get("canaryStatuses", [])
    return any(state.get("name") == CANARY and state.get("ready") for state in states)


def complaint_of(service: Manifest) -> str:
    """What KServe says is wrong with it; empty when nothing."""
    status = service.get("status", {})
    failure = status.get("modelStatus", {}).get("lastFailureInfo", {})
    if failure.get("message"):
        return f"{failure.get('reason', 'failure')}: {failure['message'].strip()}"
    for name in ("PredictorReady", "IngressReady", "Ready"):
        condition = _condition(service, name)
        if condition.get("status", "True") != "True":
            said = " ".join(filter(None, [condition.get("reason"), condition.get("message")]))
            return f"{name} is {condition['status']}" + (f": {said}" if said else "")
    return ""


def has_failed(service: Manifest) -> bool:
    """Whether KServe says that the model will not load, with nothing of before left that serves."""
    state = service.get("status", {}).get("modelStatus", {}).get("transitionStatus")
    return state in {"BlockedByFailedLoad", "InvalidSpec"} and _condition(service, "Ready").get("status") == "False"


def address_of(service: Manifest, canary: bool = False) -> str:
    """The URL at which the cluster's own pods reach the predictor, or deploy's canary."""
    host = f"{service_name(service, canary)}.{service['metadata']['namespace']}.svc.cluster.local"
    told = service.get("status", {}).get("address", {}).get("url", "")
    return told.rstrip("/") if told and not canary else f"http://{host}"


def service_name(service: Manifest, canary: bool = False) -> str:
    """The Service in front of the predictor's pods, or of deploy's canary."""
    return f"{service['metadata']['name']}{f'-{CANARY}' if canary else ''}-predictor"


def runs(pod: Manifest, version: str) -> bool:
    """Whether a pod was made to serve a version."""
    containers: Iterable[Manifest] = pod["spec"]["containers"]
    return any(item["name"] == _CONTAINER and _revision(item).version == version for item in containers)


def _container(predictor: Manifest, service: Manifest) -> Manifest:
    for container in predictor.get("containers", []):
        if container["name"] == _CONTAINER:
            found: Manifest = container
            return found
    meta = service["metadata"]
    raise RankliftError(
        f"InferenceService {meta['name']} in namespace {meta['namespace']} has no container named {_CONTAINER}; apply "
        "kserve/inference-service.yaml."
    )


def _revision(container: Manifest) -> Revision:
    variables = {item["name"]: item.get("value", "") for item in container.get("env", [])}
    uri = variables.get(_URI, "")
    version = variables.get(_VERSION, "") or uri.rstrip("/").rpartition("/")[2]
    number = variables.get(_NUMBER, "")
    previous = variables.get(_PREVIOUS, "")
    return Revision(
        version,
        uri,
        int(number) if number.isdigit() else -1,
        variables.get(_HEAD, ""),
        previous if is_version_name(previous) else "",
        variables.get(_MANIFEST, ""),
    )


def _with(containers: list[Manifest], revision: Revision) -> list[Manifest]:
    """A copy of the containers whose predictor serves the revision."""
    values = {
        _URI: revision.storage_uri,
        _VERSION: revision.version,
        _MANIFEST: revision.manifest_sha256,
        _NUMBER: str(revision.number) if revision.number >= 0 else "",
        _HEAD: revision.head,
        _PREVIOUS: revision.previous,
    }
    copies = copy.deepcopy(containers)
    for container in copies:
        if container["name"] == _CONTAINER:
            there = {item["name"]: item for item in container.get("env", [])}
            before = {_MANIFEST} & there.keys()  # the manifest has it, empty, from the beginning
            there |= {name: {"name": name, "value": value} for name, value in values.items()}
            # What is no longer said is left out, so that going back gives the very pods of before.
            empty = {name for name, value in values.items() if not value} - before
            container["env"] = [item for name, item in there.items() if name not in empty]
    return copies


def _condition(service: Manifest, name: str) -> dict[str, str]:
    conditions = service.get("status", {}).get("conditions", [])
    return next((item for item in conditions if item["type"] == name), {})
