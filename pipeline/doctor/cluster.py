"""What the other groups of checks look at in a cluster, and the cluster itself."""

import re
from functools import cached_property
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError

from components.deploy.cluster.inference_service import revision_of
from components.errors import RankliftError
from components.kubernetes.api import KubernetesApi
from components.kubernetes.errors import KubernetesError
from components.kubernetes.fields import items, names, text
from components.kubernetes.forward import PodForward
from components.kubernetes.kinds import INFERENCE_SERVICES, NODES, SECRETS, Kind, Manifest
from components.object_store.client import ObjectStore, ObjectStoreSettings
from components.object_store.faults import KEY_CODES, RefusedError, RouteError, sentence
from components.object_store.settings import BUCKET
from pipeline.cluster.store import Place, StoreAccess, secret_values, store_access, way_to
from pipeline.doctor.result import Check, Result, ok, skipped, wrong
from pipeline.settings.file import STAGES, PipelineSettings

_KUBERNETES = (1, 32)  # what KServe 0.21 needs
_TESTED = (1, 35)
_LISTED = 50  # images that a kubelet lists of its node at most, as it comes (nodeStatusMaxImages)
_PATIENCE = 10.0  # seconds for the store to answer


class Cluster:
    """A cluster, and what is looked at more than once, read once."""

    def __init__(
        self,
        api: KubernetesApi,
        place: Place,
        settings: PipelineSettings,
        forward: PodForward,
        options: str = "",
    ) -> None:
        self.api, self.place, self.settings, self.options = api, place, settings, options
        self._forward = forward
        self._stores: list[ObjectStore] = []
        self.reached: Result | None = None  #: what was found of the registry's store, once that was looked at

    @cached_property
    def service(self) -> Manifest | None:
        """The InferenceService; None when there is none, or KServe is not installed."""
        return self.api.find(INFERENCE_SERVICES, self.place.serving, self.place.name)

    @cached_property
    def access(self) -> StoreAccess:
        """The registry's store, and the keys to it.

        Raises:
            RankliftError: when nothing names it, or the Secret cannot be read.
        """
        return store_access(self.api, self.place, self.settings, self.service)

    @property
    def bucket(self) -> str:
        """The bucket that the predictor reads its model from, as far as the InferenceService or the settings say."""
        stated = self.settings.object_store
        served = urlsplit(revision_of(self.service).storage_uri).netloc if self.service is not None else ""
        return served or (stated.bucket if stated is not None else BUCKET)

    def open(self, settings: ObjectStoreSettings) -> ObjectStore:
        """Return a store as this cluster reaches it, asked once and without much patience."""
        hasty = settings.model_copy(update={"attempts": 1, "patience": 0, "timeout": min(settings.timeout, _PATIENCE)})
        store = ObjectStore(hasty, way_to(self.api, self._forward, settings.endpoint))
        self._stores.append(store)
        return store

    def try_keys(self, settings: ObjectStoreSettings, secret: str, key: str) -> Result:
        """Whether the store takes the keys of a Secret for reading something like `key`."""
        store = self.open(settings)
        try:
            store.request("GET", key)
        except RefusedError as error:
            if error.code in KEY_CODES:
                return wrong(
                    f"the object store at {settings.endpoint} does not know the keys of Secret {secret} ({error.code})",
                    "write the keys that the store has into it",
                )
            if error.status == 403:
                folder = key.rpartition("/")[0] or key
                return wrong(
                    f"the keys of Secret {secret} may not read {folder} in bucket {settings.bucket} at "
                    f"{settings.endpoint}",
                    "let them read it, and list the bucket; or name another bucket: a store that refuses does not say "
                    "whether it has this one. manifests/README.md says who may do what in the store",
                )
        except HTTPError as error:
            said = sentence(error, store.settings, "read", 1)
            if isinstance(error, RouteError) and not self._is_the_registrys(settings):
                return wrong(said.rstrip("."), "name a store that is there, or start this one")
            return skipped(f"the keys of Secret {secret} were not tried: {said}")
        return ok(f"the object store at {settings.endpoint} takes the keys of Secret {secret}")

    def _is_the_registrys(self, settings: ObjectStoreSettings) -> bool:
        """Whether a store is the registry's, which another check reports on."""
        try:
            return self.access.settings.endpoint == settings.endpoint
        except RankliftError:
            return False

    def close(self) -> None:
        """Close the connections to its stores."""
        for store in self._stores:
            store.close()

    def secret(self, namespace: str, name: str) -> dict[str, str] | None:
        """Return a Secret's data, decoded; None when there is none."""
        found = self.api.find(SECRETS, namespace, name)
        return None if found is None else secret_values(found)

    def listed(self, kind: Kind, namespace: str | None = None, labels: str = "") -> list[Manifest] | None:
        """All objects of a kind; None where the cluster has no such kind."""
        try:
            return self.api.select(kind, namespace, labels)
        except KubernetesError as error:
            if error.status != 404:
                raise
            return None


def check_version(cluster: Cluster) -> Result:
    """Whether KServe supports this Kubernetes."""
    version = cluster.api.version()
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None:
        return skipped(f"the cluster at {cluster.api.host} answers, and does not tell its version")
    number = (int(found[1]), int(found[2]))
    if number < _KUBERNETES:
        return wrong(f"Kubernetes {version} at {cluster.api.host}", "upgrade it: KServe 0.21 needs 1.32 or newer")
    newer = " (newer than what ranklift was checked with)" if number > _TESTED else ""
    return ok(f"Kubernetes {version} at {cluster.api.host}{newer}")


def check_images(cluster: Cluster) -> Result:
    """Whether the images that have no registry to come from were loaded onto the nodes."""
    wanted = _images(cluster)
    if not wanted:
        return skipped("no image is named: there is no InferenceService, and no --settings")
    lists = [items(node, "status", "images") for node in cluster.api.select(NODES)]
    there = {name for images in lists for image in images for name in names(image, "names")}
    there |= {name.removeprefix("docker.io/").removeprefix("library/") for name in there}
    absent = sorted(image for image in wanted if image not in there)
    missing = [image for image in absent if not _has_registry(image)]
    if missing and any(len(images) == _LISTED for images in lists):
        return skipped(
            f"whether a node has {', '.join(missing)}: a node lists at most {_LISTED} of its images, and these are not "
            "among them; look there with `crictl images`"
        )
    if missing:
        return wrong(
            f"no node has {', '.join(missing)}, and the name has no registry to pull from",
            "load them with `make kind-load`, or push them to a registry and name it in stages.yaml and "
            "kserve/inference-service.yaml",
        )
    if absent:
        return skipped(f"no node has these yet, and they will be pulled when they are needed: {', '.join(absent)}")
    stages = "" if cluster.settings.defaults.image else "; without --settings the stages' images were not looked for"
    return ok(f"a node has {', '.join(sorted(wanted))}{stages}")


def _images(cluster: Cluster) -> set[str]:
    found = {cluster.settings.of(stage).image or "" for stage in STAGES}
    found |= {text(container, "image") for container in items(cluster.service, "spec", "predictor", "containers")}
    return {image for image in found if image}


def _has_registry(image: str) -> bool:
    first, slash, _ = image.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == "localhost")


CHECKS = (Check("Kubernetes", check_version), Check("images", check_images))
