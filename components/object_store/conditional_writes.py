"""Whether an object store does conditional writes: some take If-None-Match and If-Match, and write all the same.

Version numbers and the champion rest on them. On such a store two runs at once would lose one's update, and nobody
would know.
"""

from components.errors import StoreError
from components.object_store.client import ObjectStore
from components.object_store.faults import RefusedError

_CONDITIONS = ({"If-None-Match": "*"}, {"If-Match": f'"{"0" * 32}"'})
_REFUSALS = (409, 412)


class ConditionCheck:
    """Finds out once, at the first write of a registry, whether its store does conditional writes."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._is_done = False

    def check(self, key: str) -> None:
        """Raise a StoreError on a store that ignores conditions; nothing where the object at `key` is not there."""
        if self._is_done or (found := self._store.find(key)) is None:
            return
        check_conditional_writes(self._store, key, found.content)
        self._is_done = True


def check_conditional_writes(store: ObjectStore, key: str, content: bytes) -> None:
    """Write an object that is there once more, under conditions that it does not meet; the same bytes harm nothing.

    Args:
        store: to check.
        key: of an object that is there.
        content: its bytes.

    Raises:
        StoreError: when the store writes it instead of refusing.
    """
    for condition in _CONDITIONS:
        if not _is_refused(store, key, content, condition):
            raise StoreError(
                f"The object store at {store.settings.endpoint} ignores {next(iter(condition))} (it wrote {key} though "
                "it was there), so two concurrent runs would lose an update; use a store with conditional writes, "
                "such as MinIO, SeaweedFS 4 or Amazon S3."
            )


def _is_refused(store: ObjectStore, key: str, content: bytes, condition: dict[str, str]) -> bool:
    def write() -> bool:
        try:
            store.request("PUT", key, content, condition)
        except RefusedError as error:
            if error.status not in _REFUSALS and error.code != "NoSuchKey":
                raise
            return True
        return False

    return store.attempt(f"check conditional writes on {key}", write)
