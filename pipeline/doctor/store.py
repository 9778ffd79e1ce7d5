"""The object store, as this machine reaches it; nothing is written into it."""

from components.errors import StoreError
from components.object_store.client import ObjectStore, ObjectStoreSettings
from components.registry.registry import Registry
from pipeline.doctor.result import Check, Result, ok, skipped, wrong

PROBE = "ranklift-doctor"  #: a key that never is


def store_settings() -> ObjectStoreSettings | None:
    """Return the configured object store, asked once and without much patience; None when none is configured."""
    settings = ObjectStoreSettings.from_environment()
    hasty = {"attempts": 1, "patience": 0, "timeout": min(settings.timeout, 10.0)} if settings else {}
    return settings.model_copy(update=hasty) if settings else None


def check_reachable(settings: ObjectStoreSettings | None) -> Result:
    """Whether the endpoint answers, knows the keys and has the bucket."""
    if settings is None:
        return skipped("RANKLIFT_S3_ENDPOINT is not set: ranklift keeps its own store under .ranklift")
    # Read, not looked at: only an answer with a body says that it is the bucket which is missing.
    ObjectStore(settings).find(PROBE)
    return ok(f"bucket {settings.bucket} at {settings.endpoint} can be read")


def check_writable(settings: ObjectStoreSettings | None) -> Result:
    """Whether the keys may write, and the store honours conditions: the registry stands on both."""
    if settings is None:
        return skipped("no object store is configured")
    return check_conditions(ObjectStore(settings))


def check_conditions(store: ObjectStore) -> Result:
    """Whether a store honours conditional writes, and its keys may write."""
    # On the condition that an object is there which is not: nothing is written, but who may not write is refused.
    if store.put_if_match(PROBE, b"{}", "0" * 32) is not None:
        store.delete(PROBE)
        return wrong(
            f"{store.settings.endpoint} ignores If-Match, so two concurrent runs could lose a promotion",
            "use a store with conditional writes: MinIO, SeaweedFS 4, AWS S3, Ceph 19",
        )
    return ok("the keys may write, and conditional writes are honoured")


def check_champion(settings: ObjectStoreSettings | None) -> Result:
    """Whether the champion's record can be read, and its version is there."""
    if settings is None:
        return skipped("no object store is configured")
    registry = Registry(ObjectStore(settings))
    try:
        champion = registry.champion()
        if champion is None:
            return ok("nothing has been promoted yet")
        registry.expected_manifest("model", champion.version, champion.manifest_sha256)
    except StoreError as error:
        return wrong(str(error))
    return ok(f"{champion.version} is champion")


CHECKS = (
    Check("object store", check_reachable),
    Check("object store: writing", check_writable),
    Check("champion", check_champion),
)
