"""Files under a prefix of an object store, copied into a folder."""

import re
from pathlib import Path, PurePosixPath

from components.errors import DataError
from components.object_store.client import ObjectInfo, ObjectStore, ObjectStoreSettings
from components.object_store.faults import DamagedBodyError

SCHEME = "s3://"


def bucket_and_prefix(uri: str) -> tuple[str, str]:
    """Return the parts of ``s3://BUCKET/PREFIX``, the prefix without a slash at its end."""
    bucket, _, prefix = uri.removeprefix(SCHEME).partition("/")
    return bucket, prefix.rstrip("/")


class StoreFolder:
    """What lies at ``s3://BUCKET/PREFIX``: one object of that name, or all below it.

    Raises:
        DataError: when no object store is configured, or there is nothing.
        StoreError: when it refused or could not be reached.
    """

    def __init__(self, uri: str) -> None:
        settings = ObjectStoreSettings.from_environment()
        if settings is None:
            raise DataError(
                f"{uri} lies in an object store and none is configured; set RANKLIFT_S3_ENDPOINT, such as "
                "https://s3.eu-central-1.amazonaws.com, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            )
        bucket, prefix = bucket_and_prefix(uri)
        self._store = ObjectStore(settings.model_copy(update={"bucket": bucket}))
        self._folder = prefix
        below = f"{self._folder}/" if self._folder else ""
        found = [
            item for item in self._store.list(self._folder) if item.key == self._folder or item.key.startswith(below)
        ]
        #: without those that stand for folders
        self.objects: list[ObjectInfo] = [item for item in found if not item.key.endswith("/")]
        if not self.objects:
            raise DataError(f"There is no object at {uri} on {settings.endpoint}; check bucket and prefix.")

    def download(self, target: Path) -> Path:
        """Copy everything below `target`; returns the folder, or the file where the prefix is one object.

        Raises:
            DataError: when a key has no plain path, or there is no room for a file.
            StoreError: when the store failed.
        """
        for item in self.objects:
            _download(self._store, item, _place(item.key, self._folder, target))
        is_one = self.objects[0].key == self._folder
        return target / Path(self._folder).name if is_one else target


def _place(key: str, folder: str, target: Path) -> Path:
    """Where an object below a prefix is written: always below `target`, whatever its key says."""
    relative = PurePosixPath(key).name if key == folder else key[len(folder) :].lstrip("/")
    parts = relative.split("/")
    if any(part in {"", ".", ".."} for part in parts) or re.search(r"[\x00\\]", relative):
        raise DataError(f"The object {key!r} has no plain path below {folder or 'its bucket'!r}; rename or remove it.")
    return target.joinpath(*parts)


def _download(store: ObjectStore, item: ObjectInfo, path: Path) -> None:
    def copy() -> None:
        with path.open("wb") as stream:
            for block in store.read_range(item.key, 0, item.size) if item.size else ():
                stream.write(block)
            if stream.tell() != item.size:
                raise DamagedBodyError(f"{stream.tell()} bytes where {item.size} were listed")

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        store.attempt(f"download {item.key}", copy)
    except OSError as error:
        raise DataError(
            f"{item.key} cannot be kept at {path}: {error.strerror}; free some space, or rename the object when "
            "another one has its name as a folder."
        ) from error
