"""Rollback: pointer and serving go back together, and the history says so."""

from pathlib import Path

from components.deploy.deploy import deploy
from components.errors import RankliftError, StoreError
from components.registry import Champion, Registry
from components.settings import ServingSettings

_MACHINE = ServingSettings(serving="machine")


def rollback(
    registry: Registry,
    home: Path | None,
    version: str | None = None,
    reason: str = "",
    settings: ServingSettings = _MACHINE,
) -> Champion:
    """Make an earlier version champion again, and have this machine, or the cluster, serve it.

    Serving moves first: a version that does not answer never becomes champion.

    Args:
        registry: where the champion is kept.
        home: ranklift's data folder, or None to move the pointer alone.
        version: such as "V3"; the champion before today's when None.
        reason: one sentence for the history.
        settings: whether this machine or a cluster serves.

    Raises:
        StoreError: when there is nothing to go back to, or another run moved the champion meanwhile.
        RankliftError: when the version does not serve; pointer and serving are then what they were.
    """
    champion = registry.champion()
    if champion is None:
        raise StoreError("Nothing has been promoted yet, so there is nothing to roll back to.")
    version = version or _before(registry, champion)
    if version == champion.version:
        raise StoreError(f"{version} is champion already; name another version, or none for the one before it.")
    if version not in {entry.version for entry in champion.history}:
        raise StoreError(
            f"{version} was never champion, so it cannot be rolled back to; "
            f"these were: {', '.join(_earlier(champion)) or 'none'}."
        )
    registry.manifest("model", version)
    if home is not None:
        _serve(version, registry, home, settings, len(champion.history))
    try:
        return registry.move_champion(
            version, champion, action="rollback", reason=reason or f"Rolled back from {champion.version}."
        )
    except RankliftError:
        now = registry.champion()
        if home is not None and now is not None:
            deploy(now.version, registry, home, settings, max(now.current.number, len(champion.history)))
        raise


def _serve(version: str, registry: Registry, home: Path, settings: ServingSettings, number: int) -> None:
    serves = deploy(version, registry, home, settings, number)
    if serves != version:
        raise StoreError(
            f"{version} was not rolled back to: another run made {serves} champion meanwhile; look at "
            "`ranklift models history` and try again."
        )


def _before(registry: Registry, champion: Champion) -> str:
    """The version that was champion before today's, and before those that today's was rolled back from."""
    for version in _earlier(champion):
        if registry.has("model", version):
            return version
    raise StoreError(f"{champion.version} has no predecessor in the registry to roll back to.")


def _earlier(champion: Champion) -> list[str]:
    """Versions that were champion before today's first became so, latest first."""
    first = next(entry.number for entry in champion.history if entry.version == champion.version)
    versions = [entry.version for entry in champion.history[:first]]
    later = [entry.version for entry in champion.history[first:] if entry.version != champion.version]
    return list(dict.fromkeys([*reversed(versions), *later]))
