"""From the URI that a user types to files on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from components.errors import DataError
from components.model_hub import PATIENCE, first_line, hub_faults
from components.object_store_folder import SCHEME, download_objects, list_folder, open_folder
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
    elif uri.startswith(SCHEME):
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
    store, folder = open_folder(uri)
    objects = list_folder(uri, store, folder)
    download_objects(store, folder, objects, target)
    return target / Path(folder).name if objects and objects[0].key == folder else target


def _download_hub(uri: str, target: Path) -> Path:
    """Copy a data set of the hub: ``hf://datasets/OWNER/NAME[@REVISION][/PATH]``, a revision's slashes as ``%2F``."""
    from huggingface_hub import HfApi, snapshot_download

    parts = uri.removeprefix("hf://").split("/")
    if parts[0] != "datasets" or len(parts) < 3:
        raise DataError(f"{uri} is not hf://datasets/OWNER/NAME[/PATH]; give one such as hf://datasets/acme/clicks.")
    name, _, revision = "/".join(parts[1:3]).partition("@")
    inside = "/".join(parts[3:])
    patterns = [inside, f"{inside.rstrip('/')}/*"] if inside else None
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
