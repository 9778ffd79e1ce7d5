"""Base models from an object store: kept in the cache by what the store lists of them, or for as long as a process."""

import tempfile
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from components.machine.scratch_folder import scratch_folder
from components.machine.settings import cache_directory
from components.object_store.folder import StoreFolder

_KEPT: list["tempfile.TemporaryDirectory[str]"] = []  # removed when the process ends


@lru_cache(maxsize=8)
def stored_model(uri: str) -> Path:
    """Return the folder of a model at ``s3://BUCKET/PREFIX``, copied here.

    With ``RANKLIFT_CACHE`` a model that is listed with the same sizes and tags is copied once.

    Raises:
        DataError: when no object store is configured, or there is nothing at the URI.
        StoreError: when the store failed.
    """
    source = StoreFolder(uri)
    cache = cache_directory("base-models")
    if cache is None:
        _KEPT.append(tempfile.TemporaryDirectory(prefix="ranklift-model-"))
        return source.download(Path(_KEPT[-1].name) / "model")
    listed = "\n".join(f"{item.key} {item.size} {item.etag}" for item in source.objects)
    kept = cache / sha256(f"{uri}\n{listed}".encode()).hexdigest()[:32]
    if not kept.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with scratch_folder(cache, ".model-") as scratch:
            _keep(source.download(scratch / "model"), kept)
    return kept


def _keep(copied: Path, kept: Path) -> None:
    try:
        copied.rename(kept)
    except OSError:
        if not kept.is_dir():
            raise
        # Another process was faster, with the same files: the name is made from the whole listing.
