"""Which version is in service: deploy it, or go back to an earlier one."""

from typing import Annotated

import typer

from pipeline.commands.groups import grouped
from pipeline.commands.registry_place import Where, registry_at
from pipeline.console import AsJson, answer

Reason = Annotated[str, typer.Option(help="The reason to record in the history.")]


@grouped
def rollback(
    *,
    version: Annotated[str | None, typer.Argument(help="A version; default: one step back.")] = None,
    reason: Reason = "",
    where: Where,
    as_json: AsJson = False,
) -> None:
    """Make an earlier version champion again, and have this machine, or the cluster, serve it.

    Without a version this goes one step back: to the index before the last `ranklift reindex`, else to the previous
    champion with its index.

    Example: ranklift rollback V2 --namespace ranklift
    """
    from components.deploy.rollback import rollback as roll_back
    from components.machine.settings import home_directory

    where = where.resolved()
    with registry_at(where) as registry:
        champion = roll_back(registry, home_directory(), version, reason, where.serving())
    answer(champion.current.model_dump(mode="json"), f"{champion.current.pair} is champion and serves again.", as_json)


@grouped
def deploy(
    *,
    version: Annotated[str | None, typer.Argument(help="A version; default: the champion.")] = None,
    reason: Reason = "",
    where: Where,
    as_json: AsJson = False,
) -> None:
    """Put the champion into service, or another version that was promoted and becomes champion once it answers.

    For a deploy that failed, was stopped, or never ran: the champion is meant to be what serves.

    Example: ranklift deploy V3 --namespace ranklift
    """
    from components.deploy.champion import deploy_again
    from components.machine.settings import home_directory

    where = where.resolved()
    with registry_at(where) as registry:
        champion = deploy_again(registry, home_directory(), version, reason, where.serving())
    said = "serves" if champion.current.served else "will be served once its InferenceService is applied"
    answer(champion.current.model_dump(mode="json"), f"{champion.version} is champion and {said}.", as_json)
