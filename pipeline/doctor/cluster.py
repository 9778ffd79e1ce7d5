"""What the other groups of checks look at in a cluster, and the cluster itself."""

import base64
from functools import cached_property
from typing import NamedTuple

from components.kubernetes_api import INFERENCE_SERVICES, Kind, KubernetesApi, Manifest
from components.object_store_settings import ObjectStoreSettings
from pipeline.doctor.result import Check, Result, ok, skipped, wrong
from pipeline.settings import PipelineSettings

NODES = Kind("", "v1", "nodes")
SECRETS = Kind("", "v1", "secrets")
CONFIG_MAPS = Kind("", "v1", "configmaps")
SERVICE_ACCOUNTS = Kind("", "v1", "serviceaccounts")
DEPLOYMENTS = Kind("apps", "v1", "deployments")

_KUBERNETES = (1, 32)  # what KServe 0.21 needs
_TESTED = (1, 35)


class Place(NamedTuple):
    """Where to look."""

    serving: str  #: namespace of the InferenceService
    name: str  #: of the InferenceService
    runs: str  #: namespace of the pipeline's pods


class Cluster:
    """A cluster, and what is looked at more than once, read once."""

    def __init__(
        self, api: KubernetesApi, place: Place, settings: PipelineSettings, store: ObjectStoreSettings | None
    ) -> None:
        self.api, self.place, self.settings, self.store = api, place, settings, store

    @cached_property
    def service(self) -> Manifest | None:
        """The InferenceService; None when there is none, or KServe is not installed."""
        return self.api.find(INFERENCE_SERVICES, self.place.serving, self.place.name)

    def secret(self, namespace: str, name: str) -> dict[str, str] | None:
        """A Secret's data, decoded; None when there is none."""
        found = self.api.find(SECRETS, namespace, name)
        if found is None:
            return None
        return {key: base64.b64decode(value).decode("utf-8", "replace") for key, value in found.get("data", {}).items()}


def check_version(cluster: Cluster) -> Result:
    """Whether Kubernetes is one that KServe supports."""
    text = cluster.api.version()
    major, _, minor = text.partition(".")
    found = (int(major), int("".join(filter(str.isdigit, minor)) or 0))
    if found < _KUBERNETES:
        return wrong(f"Kubernetes {text} at {cluster.api.host}", "upgrade it: KServe 0.21 needs 1.32 or newer")
    newer = " (newer than what ranklift was checked with)" if found > _TESTED else ""
    return ok(f"Kubernetes {text} at {cluster.api.host}{newer}")


def check_images(cluster: Cluster) -> Result:
    """Whether the images that have no registry to come from were loaded onto the nodes."""
    wanted = _images(cluster)
    if not wanted:
        return skipped("No image is named: there is no InferenceService, and no --settings.")
    there = {
        name
        for node in cluster.api.select(NODES)
        for image in node.get("status", {}).get("images", [])
        for name in image.get("names", [])
    }
    there |= {name.removeprefix("docker.io/").removeprefix("library/") for name in there}
    missing = sorted(image for image in wanted if image not in there and not _has_registry(image))
    if missing:
        return wrong(
            f"no node has {', '.join(missing)}, and the name has no registry to pull from",
            "load them with `make kind-load`, or push them to a registry and name it in stages.yaml and "
            "kserve/inference-service.yaml",
        )
    absent = sorted(image for image in wanted if image not in there)
    return ok("every image is on a node" if not absent else f"will be pulled when they are needed: {', '.join(absent)}")


def _images(cluster: Cluster) -> set[str]:
    from pipeline.settings import STAGES

    found = {cluster.settings.of(stage).image for stage in STAGES}
    if cluster.service is not None:
        containers = cluster.service["spec"].get("predictor", {}).get("containers", [])
        found |= {container.get("image") for container in containers}
    return {image for image in found if image}


def _has_registry(image: str) -> bool:
    first, slash, _ = image.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == "localhost")


CHECKS = (Check("Kubernetes", check_version), Check("images", check_images))
