"""The cluster's registry, reached through the cluster's API: whether it is there, and whether its champion serves."""

from urllib3.exceptions import HTTPError

from components.deploy.cluster.inference_service import revision_of
from components.deploy.standing import deploy_command, standing
from components.errors import RankliftError, StoreError
from components.object_store.client import ObjectStore, ObjectStoreSettings
from components.object_store.faults import KEY_CODES, RefusedError, sentence
from components.registry.registry import Registry
from pipeline.cluster.registry import check_history
from pipeline.cluster.store import StoreAccess
from pipeline.doctor.cluster import Cluster
from pipeline.doctor.result import Check, Result, ok, skipped, wrong
from pipeline.doctor.store import PROBE, check_conditions

_LATER = "its registry cannot be read; see what is said above of the registry and of its keys"


def check_reachable(cluster: Cluster) -> Result:
    """Whether the store that the cluster names answers, and has the bucket."""
    if cluster.reached is None:
        cluster.reached = _reach(cluster)
    return cluster.reached


def _reach(cluster: Cluster) -> Result:
    try:
        access = cluster.access
    except RankliftError as error:
        return skipped(str(error))
    store = cluster.open(access.settings)
    settings = store.settings
    try:
        store.request("GET", PROBE)
    except RefusedError as error:
        return _refused(error, access, settings)
    except HTTPError as error:
        return wrong(
            sentence(error, settings, "read it", 1).rstrip("."),
            "`kubectl get pods,endpointslices -n ranklift-store`, and read the log of the store's pod",
        )
    return ok(str(access))


def _refused(error: RefusedError, access: StoreAccess, settings: ObjectStoreSettings) -> Result:
    """Return what an answer that is an error says: of a key that never is, mostly that all is well."""
    if error.code in KEY_CODES or error.status in {401, 403}:
        return skipped(f"{settings.endpoint} answers, and does not let the keys of Secret {access.secret} read")
    if error.code == "NoSuchBucket":
        return wrong(
            f"the object store at {settings.endpoint} has no bucket {settings.bucket}",
            "`kubectl delete job -n ranklift-store object-store-setup`, and `kubectl apply -k` the overlay again: "
            "the job makes the buckets; or name another in stages.yaml",
        )
    if error.status != 404:
        return wrong(sentence(error, settings, "read it", 1).rstrip("."), "read the log of the store's pod")
    return ok(str(access))


def check_writable(cluster: Cluster) -> Result:
    """Whether the pipeline's keys may write, and the store honours conditions."""
    store = _store(cluster)
    if store is None:
        return skipped(_LATER)
    if not cluster.access.secret.startswith(f"{cluster.place.runs}/"):
        return skipped(f"writing, since the keys of the runs are not there: {cluster.access.secret} may only read")
    return check_conditions(store)


def check_champion(cluster: Cluster) -> Result:
    """Whether the champion's record is sound, and the record that was deployed from."""
    store = _store(cluster)
    if store is None:
        return skipped(_LATER)
    registry = Registry(store)
    try:
        champion = registry.champion()
        check_history(registry, cluster.service, champion)
        if champion is None:
            return ok("nothing has been promoted yet")
        registry.expected_manifest("model", champion.version, champion.manifest_sha256)
    except StoreError as error:
        return wrong(str(error), f"`ranklift verify{cluster.options}` says what is damaged")
    return ok(f"{champion.version} is champion")


def check_in_service(cluster: Cluster) -> Result:
    """Whether the version that was promoted is the version that serves."""
    store = _store(cluster)
    if store is None or cluster.service is None:
        return skipped(_LATER if store is None else "there is no InferenceService yet")
    try:
        champion = Registry(store).champion()
    except StoreError:
        return skipped(_LATER)
    if champion is None:
        return skipped("nothing has been promoted yet")
    there = revision_of(cluster.service)
    found = standing(champion, there.version)
    if found.command():
        return wrong(
            f"{found.sentence}: its deploy failed, was stopped or never ran",
            f"`{found.command()}{cluster.options}` puts it into service; "
            f"`ranklift rollback{cluster.options}` makes champion what was so before",
        )
    if there.index_version != (champion.index or ""):
        searched = f"index {there.index_version}" if there.index_version else "no index"
        return wrong(
            f"{champion.current.pair} is champion, and {champion.version} is in service with {searched}: the deploy "
            "failed, was stopped or never ran",
            f"`{deploy_command('')}{cluster.options}` puts both into service",
        )
    return ok(found.sentence)


def _store(cluster: Cluster) -> ObjectStore | None:
    """Return the registry's store when it can be read: what is wrong with it is said once."""
    return cluster.open(cluster.access.settings) if check_reachable(cluster).state == "ok" else None


CHECKS = (
    Check("registry", check_reachable),
    Check("registry: writing", check_writable),
    Check("registry: champion", check_champion),
    Check("version in service", check_in_service),
)
