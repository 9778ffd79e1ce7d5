"""A version on its way to a folder: hidden while it grows, resumed after a break, in place only when verified."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from components.errors import DataError, StoreError
from components.machine.digest import file_sha256
from components.machine.parallel import in_parallel
from components.object_store.client import ObjectStore
from components.object_store.transfer import download
from components.registry.directory import check_files
from components.registry.files import CARD, VERSION, refuse_pickle
from components.registry.version import VersionManifest, key_of, sha256_of


class StoredManifest(NamedTuple):
    """A version manifest and the very bytes that it was read from."""

    manifest: VersionManifest
    content: bytes

    @property
    def sha256(self) -> str:
        """SHA-256 of the stored bytes."""
        return sha256_of(self.content)


def fetch_version(store: ObjectStore, stored: StoredManifest, directory: Path) -> None:
    """Make `directory` hold the version; see `Registry.download`."""
    manifest = stored.manifest
    try:
        with _partial(directory, stored.sha256) as partial:
            if directory.exists():
                check_files(directory, manifest)
                return
            in_parallel(lambda file: _fetch(store, manifest, file, partial), manifest.files)
            (partial / VERSION).write_bytes(stored.content)
            if manifest.card:
                (partial / CARD).write_text(manifest.card, encoding="utf-8")
            partial.rename(directory)
    except OSError as error:
        raise StoreError(
            f"Could not keep {manifest.kind} {manifest.version} in {directory}: {error.strerror}; "
            "free some space, or choose another folder with RANKLIFT_HOME."
        ) from error


def _fetch(store: ObjectStore, manifest: VersionManifest, file: str, directory: Path) -> None:
    entry = manifest.files[file]
    path = directory / file
    if path.is_file() and file_sha256(path) == entry.sha256:
        return  # of an earlier attempt that broke off
    download(store, key_of(manifest.kind, manifest.version, file), path, entry.sha256, entry.size)
    try:
        refuse_pickle(path)
    except DataError as error:
        raise StoreError(str(error)) from error


@contextmanager
def _partial(directory: Path, manifest_sha256: str) -> Iterator[Path]:
    """Lock the hidden folder in which a download grows; it stays when the download breaks off."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = directory.with_name(f".{directory.name}.{manifest_sha256[:16]}.partial")
    lock_file = directory.with_name(f".{directory.name}.lock")
    with lock_file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            if partial.is_symlink():
                raise StoreError(f"{partial} is a link; remove it.")
            partial.mkdir(exist_ok=True, mode=0o700)
        yield partial
    lock_file.unlink(missing_ok=True)
