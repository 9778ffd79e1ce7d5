"""Upkeep of the registry: remove what is old, and read again what is kept."""

from typing import Annotated

import typer

from pipeline.commands.groups import grouped
from pipeline.commands.registry_place import Where, registry_at
from pipeline.console import AsJson, answer


@grouped
def prune(
    *,
    keep: Annotated[int, typer.Option(min=0, help="How many of the newest versions to keep.")] = 5,
    where: Where,
    as_json: AsJson = False,
) -> None:
    """Remove old versions and what interrupted runs left; never the champion, nor what serves or is referenced.

    Example: ranklift prune --keep 5
    """
    from components.deploy.deploy import versions_in_service
    from components.machine.settings import home_directory
    from components.registry.prune import prune as prune_registry

    where = where.resolved()
    serving = versions_in_service(None if where.on_cluster else home_directory(), where.serving())
    with registry_at(where) as registry:
        report = prune_registry(registry, keep, serving)
    lines = [f"removed {name}" for name in (*report.removed, *report.unfinished)]
    lines += [f"kept {name}: {why}" for name, why in report.kept.items()]
    answer(report.model_dump(mode="json"), "\n".join([*lines, f"{report.bytes:,} bytes freed."]), as_json)


@grouped
def verify(
    *,
    where: Where,
    as_json: AsJson = False,
) -> None:
    """Read every byte of the registry again and compare it with what was published; status 1 when it is damaged.

    Example: ranklift verify
    """
    from components.registry.verify import verify as verify_registry

    with registry_at(where) as registry:
        report = verify_registry(registry)
    lines = [f"{finding.fault}: {finding.sentence}" for finding in report.findings]
    summary = f"{report.versions} versions, {report.objects} objects, {report.bytes:,} bytes read; "
    summary += "everything is as it was published." if report.sound else "damage was found."
    answer(report.model_dump(mode="json"), "\n".join([*lines, summary]), as_json)
    raise typer.Exit(0 if report.sound else 1)
