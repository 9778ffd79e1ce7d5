"""Rollback: pointer and serving go back together, and the history says so."""

from pathlib import Path

from components.deploy.champion import check_was_champion, deploy_moved, serve_and_move
from components.deploy.settings import ServingSettings
from components.errors import StoreError
from components.registry.champion import ChampionEntry
from components.registry.registry import Champion, Registry

_MACHINE = ServingSettings(serving="machine")


def rollback(
    registry: Registry,
    home: Path | None,
    version: str | None = None,
    reason: str = "",
    settings: ServingSettings = _MACHINE,
) -> Champion:
    """Make an earlier version champion again, and have this machine, or the cluster, serve it.

    Without a version this goes back by one step: to the previous index where the champion's model got another one
    since it became champion, else to the previous model with the index that it had. Serving of a model moves first: a
    version that does not answer never becomes champion. An index moves as `reindex` moves it.

    Args:
        registry: where the champion is kept.
        home: ranklift's data folder, or None to move the pointer alone.
        version: such as "V3"; the previous champion when None.
        reason: one sentence for the history.
        settings: whether this machine or a cluster serves.

    Raises:
        StoreError: when there is nothing to go back to, or another run moved the champion meanwhile.
        RankliftError: when the version does not serve; pointer and serving are then what they were.
    """
    champion = registry.champion()
    if champion is None:
        raise StoreError("Nothing has been promoted yet, so there is nothing to roll back to.")
    before = _index_before(registry, champion) if version is None else None
    if before is not None:
        said = reason or f"Rolled back from index {champion.index}."
        moved = registry.move_champion(champion.version, champion, action="index", reason=said, index=before.index)
        return moved if home is None else deploy_moved(moved, registry, home, settings)
    version = version or _before(registry, champion)
    if version == champion.version:
        raise StoreError(
            f"{version} is champion already; name another version, or none for the previous champion. "
            "`ranklift deploy` puts the champion into service again."
        )
    check_was_champion(version, champion, "rolled back to")
    said = reason or f"Rolled back from {champion.version}."
    return serve_and_move(version, champion, registry, home, settings, action="rollback", reason=said)


def _index_before(registry: Registry, champion: Champion) -> ChampionEntry | None:
    """Return the latest entry that named the champion's model with an index before today's; None without one."""
    entries = [entry for entry in champion.history if entry.moves]
    pairs = [(entry.version, entry.index) for entry in entries]
    first = pairs.index((champion.version, champion.index))
    for entry in reversed(entries[:first]):
        if entry.version != champion.version:
            return None
        if entry.index is None or registry.has("index", entry.index):
            return entry
    return None


def _before(registry: Registry, champion: Champion) -> str:
    """Return the version that was champion before today's, and before those that today's was rolled back from."""
    for version in _earlier(champion):
        if registry.has("model", version):
            return version
    raise StoreError(f"{champion.version} has no previous champion in the registry to roll back to.")


def _earlier(champion: Champion) -> list[str]:
    """Versions that served before today's champion first became so, latest first, then those that did since."""
    moves = [entry.version for entry in champion.history if entry.moves and entry.version not in champion.undeployed]
    first = moves.index(champion.version)
    later = [version for version in moves[first:] if version != champion.version]
    return list(dict.fromkeys([*reversed(moves[:first]), *later]))
