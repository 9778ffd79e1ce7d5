"""The previous index of a model, whose vectors are copied where a text is the same."""

from pathlib import Path

from components.registry.files import VERSION
from components.registry.registry import Registry
from components.registry.version import number_of
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
    served = home / "serving" / "indexes" / version
    stored = registry.stored_manifest("index", version).manifest.stored()
    if (served / VERSION).is_file() and (served / VERSION).read_bytes() == stored:
        folder = served
    registry.download("index", version, folder)
    return open_index(folder, model_digest, frugal=True)
