"""The champion is what serves: pointer and service move together, or neither does.

The pipeline promotes first, so that of two runs that were judged against one champion only one succeeds it. When its
deploy then fails, the pointer goes back to what serves, and the next candidate is judged against that. What a person
asks for (`ranklift deploy`, `ranklift rollback`) serves first and moves the pointer afterwards.
"""

import sys
from pathlib import Path

from components.deploy.deploy import deploy, number_that_wins
from components.deploy.outcome import DeployStoppedError, NotDeployedError
from components.deploy.settings import ServingSettings
from components.deploy.standing import deploy_command
from components.errors import RankliftError, StoreError
from components.kubernetes.errors import KubernetesError
from components.registry.champion import Action
from components.registry.registry import Champion, Registry


def deploy_champion(
    version: str, registry: Registry, home: Path, settings: ServingSettings, number: int | None = None
) -> str:
    """Put a champion into service and note in its history that it serves; returns the version that is in service now.

    When that fails, what served before serves again and is champion again. An attempt that follows a failed one
    or was killed goes on with the version, which is champion again once it answers.

    Args:
        version: such as "V3"; a current or previous champion.
        registry: where versions and champion are kept.
        home: ranklift's data folder, for a deploy on this machine.
        settings: whether this machine or a cluster serves.
        number: under which the cluster serves it; that of its entry in the history when None.

    Raises:
        RankliftError: with the reason, and what serves and is champion now.
    """
    try:
        deployed = deploy(version, registry, home, settings, number)
    except DeployStoppedError as stopped:
        sentence = _put_back(version, stopped.serves, str(stopped), registry, settings)
        raise DeployStoppedError(f"{stopped} {sentence}".strip(), stopped.signal, stopped.serves) from stopped
    except NotDeployedError as error:
        sentence = _put_back(version, error.serves, str(error), registry, settings)
        raise NotDeployedError(f"{error} {sentence}".strip(), error.serves) from error
    except KubernetesError as error:
        # Nothing could be changed, so what was last seen to serve still does.
        champion = registry.champion()
        seen = champion.in_service if champion is not None else None
        sentence = _put_back(version, seen.version if seen else "", str(error), registry, settings)
        raise NotDeployedError(f"{version} was not deployed: {error} {sentence}".strip()) from error
    if deployed.proven:
        _confirm(version, registry, settings)
    return deployed.version


def deploy_again(
    registry: Registry,
    home: Path,
    version: str | None,
    reason: str,
    settings: ServingSettings,
) -> Champion:
    """Put the champion into service, or another version that was champion and becomes so again once it answers.

    Args:
        registry: where the champion is kept.
        home: ranklift's data folder.
        version: such as "V3"; the champion when None.
        reason: one sentence for the history.
        settings: whether this machine or a cluster serves.

    Raises:
        StoreError: when nothing was promoted, or the version never was.
        RankliftError: when the version does not serve; pointer and service are then what they were.
    """
    champion = registry.champion()
    if champion is None:
        raise StoreError("Nothing has been promoted yet, so there is nothing to deploy; `ranklift run` promotes.")
    version = version or champion.version
    if version != champion.version:
        check_was_champion(version, champion, "deployed")
        said = reason or f"Deployed in place of {champion.version}."
        return serve_and_move(version, champion, registry, home, settings, action="deploy", reason=said)
    return deploy_moved(champion, registry, home, settings)


def deploy_moved(champion: Champion, registry: Registry, home: Path, settings: ServingSettings) -> Champion:
    """Put the champion with its index into service; see `deploy_champion`.

    Args:
        champion: the record as it was read or written.
        registry: where the champion is kept.
        home: ranklift's data folder.
        settings: whether this machine or a cluster serves.
    """
    version = champion.version
    serves = deploy_champion(version, registry, home, settings, number_that_wins(champion, settings))
    if serves != version:
        raise StoreError(f"{version} was not deployed: another run made {serves} champion meanwhile.")
    return registry.champion() or champion


def serve_and_move(
    version: str,
    champion: Champion,
    registry: Registry,
    home: Path | None,
    settings: ServingSettings,
    *,
    action: Action,
    reason: str,
) -> Champion:
    """Put a version into service, and make it champion once it answers.

    Args:
        version: such as "V3".
        champion: the record as it was read.
        registry: where the champion is kept.
        home: ranklift's data folder, or None to move the pointer alone.
        settings: whether this machine or a cluster serves.
        action: what the history calls it.
        reason: one sentence for the history.

    Raises:
        StoreError: when another run moved the champion meanwhile.
        RankliftError: when the version does not serve; pointer and service are then what they were.
    """
    registry.manifest("model", version)
    if home is not None:
        serves = deploy(version, registry, home, settings, len(champion.history)).version
        if serves != version:
            raise StoreError(
                f"{version} did not become champion: another run made {serves} champion meanwhile; look at "
                "`ranklift models history` and try again."
            )
    try:
        return registry.move_champion(version, champion, action=action, reason=reason)
    except RankliftError as error:
        sentence = _serve_the_champion(version, champion, registry, home, settings) if home is not None else ""
        if sentence:
            raise StoreError(f"{error} {sentence}") from error
        raise


def _serve_the_champion(
    version: str, before: Champion, registry: Registry, home: Path, settings: ServingSettings
) -> str:
    """Put the champion back into service after a version that serves could not become it; why not, where it fails."""
    try:
        now = registry.champion()
        if now is not None and now.version != version:
            deploy(now.version, registry, home, settings, max(now.current.number, len(before.history)))
    except RankliftError as error:
        return (
            f"{version} may still serve, as the champion could not be restored ({error}); "
            f"`{_command('', settings)}` does that, `{_command(version, settings)}` makes {version} champion."
        )
    return ""


def check_was_champion(version: str, champion: Champion, what: str) -> None:
    """Raise a StoreError unless a version was champion at some time.

    Args:
        version: such as "V3".
        champion: the record.
        what: cannot be done to it, such as "deployed".
    """
    there = list(dict.fromkeys(entry.version for entry in champion.history))
    if version not in there:
        others = ", ".join(name for name in there if name != champion.version) or "none"
        raise StoreError(f"{version} was never champion, so it cannot be {what}; besides {champion.version}: {others}.")


def _command(version: str, settings: ServingSettings) -> str:
    return deploy_command(version, settings.namespace if settings.on_cluster else None)


def _put_back(version: str, serves: str, why: str, registry: Registry, settings: ServingSettings) -> str:
    """Make champion what serves after a deploy of the champion failed; one sentence that says so, or why not."""
    try:
        champion = registry.champion()
        if champion is None or champion.version != version or not serves:
            return ""
        if serves == version:
            return _put_index_back(champion, why, registry)
        if serves not in {entry.version for entry in champion.history}:
            return f"{serves} was never champion, so {version} stays it; `{_command(version, settings)}` tries again."
        registry.move_champion(serves, champion, action="restore", reason=why)
    except StoreError as error:
        command = _command(serves, settings)
        return f"The registry still names {version} champion ({error}); `{command}` makes {serves} champion."
    return f"{serves} is champion again; `{_command(version, settings)}` tries {version} once more."


def _put_index_back(champion: Champion, why: str, registry: Registry) -> str:
    """Name the previous index again where the same model was to be searched with another one and still serves."""
    before = champion.before_index
    if before is None:
        return ""
    registry.move_champion(champion.version, champion, action="restore", reason=why, index=before.index)
    return f"It is searched with {f'index {before.index}' if before.index else 'no index'} again, as before."


def _confirm(version: str, registry: Registry, settings: ServingSettings) -> None:
    champion = registry.champion()
    if champion is None:
        return
    if champion.version != version:
        if not champion.is_followed(version):
            registry.move_champion(
                version, champion, action="deploy", reason="A later attempt of its deploy succeeded."
            )
        return
    if champion.current.served:
        return
    try:
        registry.move_champion(version, champion, action="serve", reason=f"It answers {place_of(settings)}.")
    except StoreError as error:
        print(f"deploy: {version} serves, and the registry could not note it: {error}", file=sys.stderr, flush=True)


def place_of(settings: ServingSettings) -> str:
    """Where a deploy with these settings puts a version into service, for people."""
    if settings.on_cluster:
        return f"at InferenceService {settings.name} in namespace {settings.namespace}"
    return "on this machine"
