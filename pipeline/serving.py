"""Serving on this machine: which model directory the predictor opens, and the record of a running one."""

from pathlib import Path

from components.deploy.local import deploy_local
from components.deploy.serving import current_link, current_version
from components.errors import RankliftError
from components.registry import open_registry
from pipeline.run import configured_store


def current_model(home: Path) -> Path | None:
    """The link to the version that was deployed here last; None while nothing was."""
    return current_link(home) if current_version(home) else None


def champion_model(home: Path) -> Path:
    """The link to the champion's files, which are fetched from the registry first when they are not the newest.

    Raises:
        RankliftError: when nothing has been promoted yet.
    """
    with configured_store(home):
        registry = open_registry()
        champion = registry.champion()
        if champion is None:
            raise RankliftError(
                "Nothing has been promoted yet, so there is no champion to serve; run `ranklift run --data URI` first, "
                "or serve any exported model with `--model DIR`."
            )
        deploy_local(champion.version, registry, home)
    return current_link(home)
