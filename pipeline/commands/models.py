"""What the registry holds of models, and who is champion."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.commands.groups import grouped
from pipeline.commands.registry_place import Where, registry_at
from pipeline.commands.versions import VersionName, show_version
from pipeline.console import AsJson, answer, table

if TYPE_CHECKING:
    from components.registry.version import VersionManifest

models = typer.Typer(help="Model versions and the champion.", no_args_is_help=True)


@models.command("list")
@grouped
def list_models(
    *,
    where: Where,
    as_json: AsJson = False,
) -> None:
    """List every model version, and who is champion.

    Example: ranklift models list
    """
    from components.deploy.standing import standing_of_versions

    with registry_at(where) as registry:
        champion = registry.champion()
        manifests = registry.list_versions("model")
    standings = standing_of_versions(champion)
    rows = [_model_row(manifest, standings.get(manifest.version, "")) for manifest in manifests]
    header = ("version", "created", "NDCG@10", "gain and 95% interval", "dataset", "champion")
    text = table(header, [tuple(row.values()) for row in rows]) if rows else "No model has been promoted yet."
    answer(rows, text, as_json)


@models.command("history")
@grouped
def list_champions(
    *,
    where: Where,
    as_json: AsJson = False,
) -> None:
    """List every move of the champion, oldest first, with its reason.

    Example: ranklift models history
    """
    with registry_at(where) as registry:
        champion = registry.champion()
    moves = champion.history if champion else []
    lines = [f"{move.moved:%Y-%m-%d %H:%M}  {move.version:5} {move.action}: {move.reason}" for move in moves]
    answer([move.model_dump(mode="json") for move in moves], "\n".join(lines) or "No model was champion yet.", as_json)


@models.command("show")
@grouped
def show_model(
    *,
    version: VersionName,
    where: Where,
    as_json: AsJson = False,
) -> None:
    """Show where a model version came from and why it was promoted.

    Example: ranklift models show V3
    """
    show_version("model", version, where, as_json)


@models.command("diff")
@grouped
def diff(
    *,
    left: VersionName,
    right: VersionName,
    where: Where,
    as_json: AsJson = False,
) -> None:
    """Show how two model versions differ: in data, settings and scores.

    Example: ranklift models diff V3 V5
    """
    from components.registry.diff import diff_models

    with registry_at(where) as registry:
        found = diff_models(registry, left, right)
    parts = {"data": found.data, "settings": found.settings, "scores": found.scores}
    rows = [(part, item.name, item.left, item.right) for part, items in parts.items() for item in items]
    text = table(("part", "name", left, right), rows) if rows else f"{left} and {right} do not differ."
    if not found.same_evaluation_set:
        text += "\nThe two were judged on different evaluation sets: their scores cannot be compared."
    answer(found.model_dump(mode="json"), text, as_json)


@models.command("push")
@grouped
def push(
    *,
    version: VersionName,
    uri: Annotated[str, typer.Argument(help="hf://owner/name")],
    where: Where,
    as_json: AsJson = False,
) -> None:
    """Upload a model version to the model hub.

    Example: ranklift models push V3 hf://acme/docs-search
    """
    from components.registry.hub import push_model

    with registry_at(where) as registry:
        url = push_model(registry, version, uri)
    answer({"url": url}, f"{version} is at {url}.", as_json)


def _model_row(manifest: "VersionManifest", standing: str) -> dict[str, Any]:
    decision = manifest.decision
    gain = ""
    if decision is not None:
        low, high = decision.confidence_interval
        gain = f"{decision.delta:+.4f} ({low:+.4f} to {high:+.4f})"
    return {
        "version": manifest.version,
        "created": f"{manifest.created:%Y-%m-%d %H:%M}",
        "ndcg@10": f"{decision.candidate:.4f}" if decision else "",
        "gain": gain,
        "dataset": manifest.lineage.dataset_version or "",
        "champion": standing,
    }
