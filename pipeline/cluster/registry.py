"""The registry of a cluster, opened from anywhere that `kubectl` works; this machine's own is never touched."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from components.deploy.cluster.inference_service import revision_of
from components.errors import StoreError
from components.kubernetes.api import KubernetesApi
from components.kubernetes.forward import PodForward
from components.kubernetes.kinds import INFERENCE_SERVICES, Manifest
from components.object_store.client import ObjectStore
from components.registry.registry import Champion, Registry
from pipeline.cluster.store import Place, StoreAccess, store_access, way_to
from pipeline.settings.file import PipelineSettings


class ClusterRegistry(Registry):
    """A registry, and what the cluster says about it."""

    def __init__(self, store: ObjectStore, access: StoreAccess, service: Manifest | None) -> None:
        super().__init__(store)
        self.access = access
        self.service = service  #: the InferenceService; None while there is none


@contextmanager
def cluster_registry(
    api: KubernetesApi, place: Place, settings: PipelineSettings | None = None
) -> Iterator[ClusterRegistry]:
    """Open the registry that the settings or the InferenceService name, through the cluster's API.

    Raises:
        RankliftError: when they name none, the store cannot be reached, or the InferenceService was deployed from
            another registry.
    """
    service = api.find(INFERENCE_SERVICES, place.serving, place.name)
    access = store_access(api, place, settings, service)
    with opened_store(api, access) as store:
        registry = ClusterRegistry(store, access, service)
        check_history(registry, service, registry.champion())
        yield registry


@contextmanager
def opened_store(api: KubernetesApi, access: StoreAccess) -> Iterator[ObjectStore]:
    """Open the store, with a connection that is closed at the end.

    Raises:
        StoreError: also with what the cluster said about the connections that broke.
    """
    with PodForward(api) as forward:
        store = ObjectStore(access.settings, way_to(api, forward, access.settings.endpoint))
        try:
            yield store
        except StoreError as error:
            if not forward.fault:
                raise
            raise StoreError(f"{error} The cluster says of the connection: {forward.fault}.") from error
        finally:
            store.close()


def check_history(registry: Registry, service: Manifest | None, champion: Champion | None) -> None:
    """Refuse a registry that is not the one which the InferenceService was deployed from.

    Raises:
        StoreError: when the bucket is another one, or its champion's history lacks the entry that was deployed.
    """
    if service is None:
        return
    served = revision_of(service)
    bucket = urlsplit(served.storage_uri).netloc
    if bucket and bucket != registry.store.settings.bucket:
        raise StoreError(
            f"The cluster serves {served.version} from bucket {bucket}, and this is {registry.place}; name that "
            "bucket in stages.yaml (object_store), or leave --settings out."
        )
    if served.head and (champion is None or not champion.holds(served.head)):
        raise StoreError(
            f"{registry.place} is not the registry that {served.version} was deployed from, or its champion's history "
            f"was rewritten: it holds no entry {served.head[:12]}…, which the InferenceService carries; name the right "
            "one with --settings stages.yaml, or remove RANKLIFT_CHAMPION_HEAD from the InferenceService when you "
            "replaced the bucket yourself."
        )
