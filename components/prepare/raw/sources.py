"""From the URI that a user types to files on this machine."""

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from components.errors import DataError
from components.model.hub import PATIENCE, ask_hub, first_line, hub_faults
from components.object_store.folder import SCHEME, StoreFolder
from components.prepare.options import DEMO_SOURCE
from components.prepare.raw.data import RawData, demo_data, local_data


@contextmanager
def fetch(uri: str, scratch: Path) -> Iterator[RawData]:
    """Bring the raw data at a URI to this machine, under `scratch` when it lies elsewhere.

    Raises:
        DataError: when there is no such data, or nothing in it could be read.
        StoreError: when an object store refused or could not be reached.
    """
    if uri == DEMO_SOURCE:
        yield demo_data()
    else:
        yield local_data(uri, local_copy(uri, scratch / "download", DEMO_SOURCE))


def local_copy(uri: str, target: Path, *also: str) -> Path:
    """Return the file or folder at a URI, copied below `target` when it lies elsewhere.

    Args:
        uri: a path, ``s3://…`` or ``hf://datasets/…``.
        target: a folder that need not exist.
        also: what else the caller understands, for the error.

    Raises:
        DataError: when the scheme is unknown, or there is nothing.
        StoreError: when an object store refused or could not be reached.
    """
    if uri.startswith(SCHEME):
        return StoreFolder(uri).download(target)
    if uri.startswith("hf://"):
        return _download_hub(uri, target)
    if "://" in uri and not uri.startswith("file://"):
        scheme = uri.partition("://")[0]
        *known, last = ("a path", "s3://…", "hf://datasets/…", *also)
        raise DataError(f"{uri} has the unknown scheme {scheme!r}; give {', '.join(known)} or {last}.")
    return Path(uri.removeprefix("file://")).expanduser()


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
    at = unquote(revision) or None

    def ask() -> None:
        HfApi().dataset_info(name, revision=at, timeout=PATIENCE)
        snapshot_download(name, repo_type="dataset", revision=at, local_dir=target, allow_patterns=patterns)

    try:
        ask_hub(ask, f"The hub does not give {uri}")
    except hub_faults() as error:
        raise DataError(
            f"{uri} could not be read from the hub ({first_line(error)}); check the name, the network and, where the "
            "data is not public, HF_TOKEN."
        ) from error
    return target / inside if inside else target
