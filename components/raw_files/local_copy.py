"""From the URI that a user types to a file or folder on this machine."""

from pathlib import Path

from components.errors import DataError
from components.object_store.folder import SCHEME, StoreFolder
from components.raw_files.hub_dataset import HUB_SCHEME, HubDataset


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
    if uri.startswith(HUB_SCHEME):
        return HubDataset.of(uri).download(target)
    if "://" in uri and not uri.startswith("file://"):
        scheme = uri.partition("://")[0]
        *known, last = ("a path", "s3://…", "hf://datasets/…", *also)
        raise DataError(f"{uri} has the unknown scheme {scheme!r}; give {', '.join(known)} or {last}.")
    return Path(uri.removeprefix("file://")).expanduser()
