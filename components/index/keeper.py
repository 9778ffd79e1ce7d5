"""Where an index's files are kept as soon as each is finished, so that a killed stage goes on where it was."""

from pathlib import Path
from typing import Protocol

from components.errors import StoreError
from components.object_store.client import ObjectStore
from components.object_store.faults import DamagedBodyError, RefusedError

_PRECONDITION_FAILED = 412


class Keeper(Protocol):
    """Keeps each file once. Names are those of an index version, such as ``shards/00000.safetensors``."""

    def fetch(self, name: str, path: Path) -> bool:
        """Bring a file to `path`; False where nobody kept it."""

    def keep(self, name: str, path: Path) -> None:
        """Keep a finished file. Where somebody was faster, `path` becomes what they kept."""


class FolderKeeper:
    """The folder in which the index is made is the place where it is kept."""

    def fetch(self, name: str, path: Path) -> bool:
        """Tell whether the file lies there already."""
        return path.is_file()

    def keep(self, name: str, path: Path) -> None:
        """Leave the file where it is."""


class StoreKeeper:
    """Keeps files below a prefix of an object store, each written once by a conditional write.

    Args:
        store: the registry's.
        prefix: of the index version, such as ``indexes/V3/``.
    """

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    def fetch(self, name: str, path: Path) -> bool:
        """Bring a file to `path`; see `Keeper.fetch`."""
        key = f"{self._prefix}{name}"
        found = self._store.stat(key)
        if found is None:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.part")

        def copy() -> None:
            with fresh.open("wb") as stream:
                for block in self._store.read_range(key, 0, found.size) if found.size else ():
                    stream.write(block)
                if stream.tell() != found.size:
                    raise DamagedBodyError(f"{stream.tell()} bytes where {found.size} were listed")

        self._store.attempt(f"download {key}", copy)
        fresh.replace(path)
        return True

    def keep(self, name: str, path: Path) -> None:
        """Keep a finished file; see `Keeper.keep`."""
        key, content = f"{self._prefix}{name}", path.read_bytes()

        def write() -> bool:
            try:
                self._store.request("PUT", key, content, {"If-None-Match": "*"})
            except RefusedError as error:
                if error.status != _PRECONDITION_FAILED:
                    raise
                return False
            return True

        if not self._store.attempt(f"write {key}", write) and not self.fetch(name, path):
            raise StoreError(f"{key} was removed while it was written; run the stage again.")
