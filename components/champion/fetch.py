"""The champion's files, as the registry keeps them."""

from pathlib import Path

from components.registry.registry import Registry


def fetch_champion(registry: Registry, directory: Path) -> str | None:
    """Download the champion into `directory`, verified against the hash in the champion record.

    Returns its version, such as "V3"; None, with no directory made, while nothing has been promoted.

    Raises:
        StoreError: when the object store fails, or what it holds is not what was promoted.
    """
    champion = registry.champion()
    if champion is None:
        return None
    registry.download("model", champion.version, directory, champion.manifest_sha256)
    return champion.version
