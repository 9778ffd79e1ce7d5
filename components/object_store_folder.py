"""Folders of an object store: every object below a prefix, listed and copied to this machine."""

import re
from pathlib import Path, PurePosixPath

from components.errors import DataError
from components.object_store import ObjectInfo, ObjectStore, ObjectStoreSettings
from components.object_store_faults import DamagedBodyError

SCHEME = "s3://"


def open_folder(uri: str) -> tuple[ObjectStore, str]:
    """The store of an ``s3://bucket/folder`` URI, with the keys of the environment, and the folder in it.

    Raises:
        DataError: when no object store is configured.
    """
    settings = ObjectStoreSettings.from_environment()
    if settings is None:
        raise DataError(
            f"{uri} lies in an object store and none is configured; set RANKLIFT_S3_ENDPOINT, such as "
            "https://s3.eu-central-1.amazonaws.com, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    bucket, _, folder = uri.removeprefix(SCHEME).partition("/")
    return ObjectStore(settings.model_copy(update={"bucket": bucket})), folder.rstrip("/")


def list_folder(uri: str, store: ObjectStore, folder: str) -> list[ObjectInfo]:
    """The objects of a folder, or the one object of that very name.

    Raises:
        DataError: when there is none.
    """
    below = f"{folder}/" if folder else ""
    found = [item for item in store.list(folder) if item.key == folder or item.key.startswith(below)]
    if not found:
        raise DataError(f"There is no object at {uri} on {store.settings.endpoint}; check bucket and prefix.")
    return [item for item in found if not item.key.endswith("/")]  # such an object stands for a folder


def download_objects(store: ObjectStore, folder: str, objects: list[ObjectInfo], target: Path) -> None:
    """Copy objects of a folder below `target`, each by its path in the folder.

    Raises:
        DataError: when an object has no plain path, or cannot be kept here.
        StoreError: when it cannot be read.
    """
    for item in objects:
        _download(store, item, _place(item.key, folder, target))


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
