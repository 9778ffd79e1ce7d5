"""Base models in an object store: ``s3://bucket/folder``, copied once for each state that the folder was in."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from components.errors import DataError, ModelError, StoreError
from components.object_store import ObjectInfo
from components.object_store_folder import download_objects, list_folder, open_folder
from components.settings import cache_directory


def fetch_base_model(uri: str) -> Path:
    """The local copy of a base model's folder; copied again only after an object in it changed.

    Raises:
        ModelError: when there is no such folder, or it cannot be read.
    """
    try:
        store, folder = open_folder(uri)
        objects = list_folder(uri, store, folder)
        place = _cache() / _state(uri, objects)
        if not place.is_dir():
            _copy_whole(place, lambda target: download_objects(store, folder, objects, target))
    except (DataError, StoreError) as error:
        raise ModelError(f"The base model could not be fetched. {error}") from error
    except OSError as error:
        raise ModelError(
            f"The base model {uri} cannot be kept in {_cache()} ({error.strerror}); free some space, or set "
            "RANKLIFT_CACHE to a folder that can be written to."
        ) from error
    return place


def _cache() -> Path:
    own = cache_directory("base-models")
    return own or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ranklift" / "base-models"


def _state(uri: str, objects: list[ObjectInfo]) -> str:
    lines = [uri, *(f"{item.key} {item.size} {item.etag}" for item in objects)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def _copy_whole(place: Path, copy: Callable[[Path], None]) -> None:
    """Make a folder that is either whole or not there, also when several processes make it at once."""
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=place.parent, prefix=".partial-"))
    try:
        copy(partial)
        try:
            partial.rename(place)
        except OSError:
            if not place.is_dir():  # another process was first otherwise
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
