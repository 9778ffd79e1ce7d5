"""From the URI that a user types to files on this machine."""

import glob
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from components.errors import DataError
from components.model_hub import PATIENCE, first_line, hub_faults
from components.object_store import ObjectStore, ObjectStoreSettings
from components.object_store_faults import DamagedBodyError
from components.prepare.docstrings import DEMO_SOURCE
from components.prepare.raw_data import RawData, demo_data, local_data


@contextmanager
def fetch(uri: str, scratch: Path) -> Iterator[RawData]:
    """The raw data at a URI, brought to this machine under `scratch` when it lies elsewhere.

    Raises:
        DataError: when there is no such data, or nothing in it could be read.
        StoreError: when an object store refused or could not be reached.
    """
    if uri == DEMO_SOURCE:
        yield demo_data()
    elif uri.startswith("s3://"):
        yield local_data(uri, _download_prefix(uri, scratch / "download"))
    elif uri.startswith("hf://"):
        yield local_data(uri, _download_hub(uri, scratch / "download"))
    elif "://" in uri and not uri.startswith("file://"):
        scheme = uri.partition("://")[0]
        raise DataError(
            f"{uri} has the unknown scheme {scheme!r}; give a path, s3://…, hf://datasets/… or {DEMO_SOURCE}."
        )
    else:
        yield local_data(uri, Path(uri.removeprefix("file://")).expanduser())


def _download_prefix(uri: str, target: Path) -> Path:
    """Copy every object under a prefix, or the one object that the URI names."""
    settings = ObjectStoreSettings.from_environment()
    if settings is None:
        raise DataError(
            f"{uri} lies in an object store and none is configured; set RANKLIFT_S3_ENDPOINT, such as "
            "https://s3.eu-central-1.amazonaws.com, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    store = ObjectStore(settings.model_copy(update={"bucket": bucket}))
    folder = prefix.rstrip("/")
    found = [
        item for item in store.list(folder) if item.key == folder or item.key.startswith(f"{folder}/" if folder else "")
    ]
    if not found:
        raise DataError(f"There is no object at {uri} on {settings.endpoint}; check bucket and prefix.")
    for item in found:
        if not item.key.endswith("/"):  # such an object stands for a folder
            _download(store, item.key, item.size, _place(item.key, folder, target))
    return target / Path(folder).name if found[0].key == folder else target


def _place(key: str, folder: str, target: Path) -> Path:
    """Where an object below a prefix is written: always below `target`, whatever its key says."""
    relative = PurePosixPath(key).name if key == folder else key[len(folder) :].lstrip("/")
    parts = relative.split("/")
    if any(part in {"", ".", ".."} for part in parts) or re.search(r"[\x00\\]", relative):
        raise DataError(f"The object {key!r} has no plain path below {folder or 'its bucket'!r}; rename or remove it.")
    return target.joinpath(*parts)


def _download(store: ObjectStore, key: str, size: int, path: Path) -> None:
    def copy() -> None:
        with path.open("wb") as stream:
            for block in store.read_range(key, 0, size) if size else ():
                stream.write(block)
            if stream.tell() != size:
                raise DamagedBodyError(f"{stream.tell()} bytes where {size} were listed")

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        store.attempt(f"download {key}", copy)
    except OSError as error:
        raise DataError(
            f"{key} cannot be kept at {path}: {error.strerror}; free some space, or rename the object when another one "
            "has its name as a folder."
        ) from error


def _download_hub(uri: str, target: Path) -> Path:
    """Copy a data set of the hub: ``hf://datasets/OWNER/NAME[@REVISION][/PATH]``, a revision's slashes as ``%2F``."""
    from huggingface_hub import HfApi, snapshot_download

    parts = uri.removeprefix("hf://").split("/")
    if parts[0] != "datasets" or len(parts) < 3:
        raise DataError(f"{uri} is not hf://datasets/OWNER/NAME[/PATH]; give one such as hf://datasets/acme/clicks.")
    name, _, revision = "/".join(parts[1:3]).partition("@")
    inside = "/".join(parts[3:])
    named = glob.escape(inside.rstrip("/"))
    patterns = [named, f"{named}/*"] if inside else None
    try:
        HfApi().dataset_info(name, revision=unquote(revision) or None, timeout=PATIENCE)
        snapshot_download(
            name, repo_type="dataset", revision=unquote(revision) or None, local_dir=target, allow_patterns=patterns
        )
    except hub_faults() as error:
        raise DataError(
            f"{uri} could not be read from the hub ({first_line(error)}); check the name, the network and, where the "
            "data is not public, HF_TOKEN."
        ) from error
    return target / inside if inside else target
