"""Versions of the registry on this machine; among them a model's previous index, whose vectors are copied."""

from pathlib import Path

from components.registry.files import VERSION
from components.registry.registry import Registry
from components.registry.version import Kind, number_of
from components.search.reader import Index, open_index


def newest_index(registry: Registry, model_digest: str) -> str | None:
    """Return the newest index version of a model; None where there is none."""
    versions = registry.list_versions("index")
    same = [it.version for it in versions if it.lineage.model_digest == model_digest]
    return max(same, key=number_of, default=None)


def opened_index(registry: Registry, version: str | None, model_digest: str, home: Path, folder: Path) -> Index | None:
    """Open an index version; None where none is named.

    Args:
        registry: where it is kept.
        version: such as "V2".
        model_digest: of its model.
        home: ranklift's data folder; what this machine serves is not fetched again.
        folder: where it is fetched to otherwise.
    """
    if version is None:
        return None
    place = fetched(registry, "index", version, home / "serving" / "indexes" / version, folder)
    return open_index(place, model_digest, frugal=True)


def fetched(registry: Registry, kind: Kind, version: str, here: Path, folder: Path) -> Path:
    """Return a folder with a version: `here` where it lies there already, else fetched into another folder.

    What lies here may be of another registry, which has versions of the same names.
    """
    stored = registry.stored_manifest(kind, version).manifest.stored()
    place = here if (here / VERSION).is_file() and (here / VERSION).read_bytes() == stored else folder
    registry.download(kind, version, place)
    return place
