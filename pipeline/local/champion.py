"""Serving on this machine: which model directory the predictor opens, and the record of a running one."""

from pathlib import Path

from components.deploy.machine.deploy import deploy_local
from components.deploy.machine.folder import (
    PREDICTOR,
    current_link,
    current_version,
    running_predictor,
    serving_directory,
)
from components.errors import RankliftError
from components.machine.settings import serving_url
from components.registry.registry import open_registry
from pipeline.local.run import configured_store


def current_model(home: Path) -> Path | None:
    """Return the link to the version that was deployed here last; None while nothing was."""
    return current_link(home) if current_version(home) else None


def check_no_other_predictor(home: Path) -> None:
    """Make sure that no predictor serves the champion here already: a deploy moves only the recorded one.

    Raises:
        RankliftError: naming where the other one answers.
    """
    record = serving_directory(home) / PREDICTOR
    # The variable names a predictor elsewhere, and hides the record of one here.
    if serving_url() or not record.is_file() or (other := running_predictor(home)) is None:
        return
    raise RankliftError(
        f"A predictor serves the champion at {other.url} already, and a deploy moves that one alone. Stop it first, or "
        "serve an exported model beside it with `--model DIR`."
    )


def champion_model(home: Path) -> Path:
    """Return the link to the champion's files, which are fetched from the registry first when they are not the newest.

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
