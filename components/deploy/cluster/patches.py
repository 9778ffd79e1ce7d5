"""What deploy writes into an InferenceService: one server-side apply for each step.

KServe's schema keeps ``containers`` as an atomic list: a server-side apply replaces it whole, so it is read, changed
in a few variables, and applied with the resource version that was read. What deploy has to remember stands in further
variables of the same container: KServe copies the object's annotations and labels onto every pod, and to write one
there would restart what serves.
"""

import copy
import math
from typing import Any

from components.deploy.cluster.inference_service import (
    CANARY,
    CONTAINER,
    HEAD,
    INDEX_DIR,
    INDEX_MANIFEST,
    INDEX_PLACE,
    MANIFEST,
    MODEL_DIR,
    MODEL_PLACE,
    NUMBER,
    PREVIOUS,
    URI,
    VERSION,
    VERSION_LABEL,
    Revision,
    canary_entry_of,
)
from components.kubernetes.kinds import Manifest

MANAGER = "ranklift"

_AUTOSCALER = {"serving.kserve.io/autoscalerClass": "none"}


def changed(service: Manifest, revision: Revision | None, canary: Manifest | None = None) -> Manifest:
    """Return the body of a server-side apply: every field that deploy sets; the apply removes fields it leaves out.

    Args:
        service: as it was read.
        revision: what the stable predictor is to serve; None leaves it as it is, to the last byte.
        canary: the entry of the canary beside it, from `canary_beside` or `canary_at`; None when there is to be none.
    """
    meta, predictor = service["metadata"], service["spec"]["predictor"]
    label = {VERSION_LABEL: revision.label} if revision and revision.label else {}
    # The object's own label is copied onto the canary's pods too; that of the predictor is for its pods alone.
    wanted: dict[str, Any] = {
        "containers": with_revision(predictor["containers"], revision),
        "labels": label if revision else _kept(predictor.get("labels")),
        "storageUris": revision.storage_uris if revision else predictor.get("storageUris"),
    }
    spec: dict[str, Any] = {"predictor": {name: value for name, value in wanted.items() if value}}
    if canary is not None:
        spec["canary"] = [canary]
    return {
        "apiVersion": service["apiVersion"],
        "kind": service["kind"],
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "resourceVersion": meta["resourceVersion"],
            "labels": label if revision else _kept(meta.get("labels")),
        },
        "spec": spec,
    }


def canary_beside(service: Manifest, revision: Revision, percent: int) -> Manifest:
    """Return the entry of a canary that serves a revision with a share of the traffic.

    KServe takes from the stable predictor what a canary does not say, and derives its replicas from the share. So they
    are said here: a canary whose share goes to 0 would otherwise lose its pods before the gateway hears of it. Without
    an autoscaler, since KServe makes one for a canary and never removes it.
    """
    stable = service["spec"]["predictor"]
    replicas = int(stable.get("minReplicas", 1))
    predictor: dict[str, Any] = {
        "name": CANARY,
        "labels": {VERSION_LABEL: revision.label},
        "containers": with_revision(stable["containers"], revision),
    }
    if replicas > 0:
        predictor |= {"minReplicas": math.ceil(replicas * percent / 100), "annotations": dict(_AUTOSCALER)}
    return {"trafficPercent": percent, "predictor": predictor}


def canary_at(service: Manifest, percent: int) -> Manifest | None:
    """Return the canary that is there, with another share of the traffic; None when there is none."""
    entry = canary_entry_of(service)
    return {**copy.deepcopy(entry), "trafficPercent": percent} if entry is not None else None


def with_revision(containers: list[Manifest], revision: Revision | None) -> list[Manifest]:
    """Return a copy of the containers whose predictor serves the revision; what it serves now when None."""
    copies = copy.deepcopy(containers)
    for container in copies:
        if container["name"] == CONTAINER and revision is not None:
            container["env"] = _environment(container.get("env", []), revision)
    return copies


def _environment(before: list[Manifest], revision: Revision) -> list[Manifest]:
    with_index = bool(revision.index_uri)
    values = {
        URI: "" if with_index else revision.storage_uri,  # KServe refuses it beside storageUris
        MODEL_DIR: MODEL_PLACE if with_index else "",
        INDEX_DIR: INDEX_PLACE if with_index else "",
        INDEX_MANIFEST: revision.index_sha256,
        VERSION: revision.version,
        MANIFEST: revision.manifest_sha256,
        NUMBER: str(revision.number) if revision.number >= 0 else "",
        HEAD: revision.head,
        PREVIOUS: revision.previous,
    }
    there = {item["name"]: item for item in before}
    said = {MANIFEST} & there.keys()  # the manifest has it, empty, from the beginning
    there |= {name: {"name": name, "value": value} for name, value in values.items()}
    # What is no longer said is left out, so that going back gives the very pods of before.
    empty = {name for name, value in values.items() if not value} - said
    return [item for name, item in there.items() if name not in empty]


def _kept(labels: dict[str, str] | None) -> dict[str, str]:
    return {name: value for name, value in (labels or {}).items() if name == VERSION_LABEL}
