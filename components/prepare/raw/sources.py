"""From the URI that a user types to files on this machine."""

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from components.errors import DataError
from components.model.hub import PATIENCE, ask_hub, first_line, hub_faults
from components.object_store.folder import SCHEME, StoreFolder
from components.prepare.raw.data import RawData, demo_data, local_data
from components.prepare.raw.docstrings import DEMO_SOURCE


@contextmanager
def fetch(uri: str, scratch: Path) -> Iterator[RawData]:
    """The raw data at a URI, brought to this machine under `scratch` when it lies elsewhere.

    Raises:
        DataError: when there is no such data, or nothing in it could be read.
        StoreError: when an object store refused or could not be reached.
    """
    if uri == DEMO_SOURCE:
        yield demo_data()
    elif uri.startswith(SCHEME):
        yield local_data(uri, StoreFolder(uri).download(scratch / "download"))
    elif uri.startswith("hf://"):
        yield local_data(uri, _download_hub(uri, scratch / "download"))
    elif "://" in uri and not uri.startswith("file://"):
        scheme = uri.partition("://")[0]
        raise DataError(
            f"{uri} has the unknown scheme {scheme!r}; give a path, s3://…, hf://datasets/… or {DEMO_SOURCE}."
        )
    else:
        yield local_data(uri, Path(uri.removeprefix("file://")).expanduser())


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
