"""What the registry holds: models, datasets, who is champion, and going back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipeline.commands.options import Context, Namespace, StoreSettings
from pipeline.commands.registry_place import Where, registry_at
from pipeline.console import AsJson, answer, open_page, table, tell

if TYPE_CHECKING:
    from components.registry.registry import VersionManifest

models = typer.Typer(help="Model versions and the champion.", no_args_is_help=True)
datasets = typer.Typer(help="Dataset versions.", no_args_is_help=True)

VersionName = Annotated[str, typer.Argument(help="A version, such as V3.")]


@models.command("list")
def list_models(
    context: Context = None,
    namespace: Namespace = None,
    settings: StoreSettings = None,
    as_json: AsJson = False,
) -> None:
    """List every model version, and who is champion.

    Example: ranklift models list
    """
    from components.deploy.standing import standing_of_versions

    with registry_at(Where(context, namespace, settings)) as registry:
        champion = registry.champion()
        manifests = registry.list_versions("model")
    standings = standing_of_versions(champion)
    rows = [_model_row(manifest, standings.get(manifest.version, "")) for manifest in manifests]
    header = ("version", "created", "NDCG@10", "gain and 95% interval", "dataset", "champion")
    text = table(header, [tuple(row.values()) for row in rows]) if rows else "No model has been promoted yet."
    answer(rows, text, as_json)


@models.command("history")
def list_champions(
    context: Context = None,
    namespace: Namespace = None,
    settings: StoreSettings = None,
    as_json: AsJson = False,
) -> None:
    """List every move of the champion, oldest first, with its reason.

    Example: ranklift models history
    """
    with registry_at(Where(context, namespace, settings)) as registry:
        champion = registry.champion()
    moves = champion.history if champion else []
    lines = [f"{move.moved:%Y-%m-%d %H:%M}  {move.version:5} {move.action}: {move.reason}" for move in moves]
    answer([move.model_dump(mode="json") for move in moves], "\n".join(lines) or "No model was champion yet.", as_json)


@models.command("show")
def show_model(
    version: VersionName,
    context: Context = None,
    namespace: Namespace = None,
    settings: StoreSettings = None,
    as_json: AsJson = False,
) -> None:
    """Show where a model version came from and why it was promoted.

    Example: ranklift models show V3
    """
    _show("model", version, Where(context, namespace, settings), as_json)


@models.command("diff")
def diff(
    left: VersionName,
    right: VersionName,
    context: Context = None,
    namespace: Namespace = None,
    settings: StoreSettings = None,
    as_json: AsJson = False,
) -> None:
    """Show how two model versions differ: in data, settings and scores.

    Example: ranklift models diff V3 V5
    """
    from components.registry.diff import diff_models

    with registry_at(Where(context, namespace, settings)) as registry:
        found = diff_models(registry, left, right)
    parts = {"data": found.data, "settings": found.settings, "scores": found.scores}
    rows = [(part, item.name, item.left, item.right) for part, items in parts.items() for item in items]
    text = table(("part", "name", left, right), rows) if rows else f"{left} and {right} are alike."
    if not found.same_evaluation_set:
        text += "\nThe two were judged on different evaluation sets: their scores cannot be compared."
    answer(found.model_dump(mode="json"), text, as_json)


@models.command("push")
def push(
    version: VersionName,
    uri: Annotated[str, typer.Argument(help="hf://owner/name")],
    context: Context = None,
    namespace: Namespace = None,
    settings: StoreSettings = None,
    as_json: AsJson = False,
) -> None:
    """Upload a model version to the model hub.

    Example: ranklift models push V3 hf://acme/docs-search
    """
    from components.registry.hub import push_model

    with registry_at(Where(context, namespace, settings)) as registry:
        url = push_model(registry, version, uri)
    answer({"url": url}, f"{version} is at {url}.", as_json)


@datasets.command("list")
def list_datasets(
    context: Context = None,
    namespace: Namespace = None,
    settings: StoreSettings = None,
    as_json: AsJson = False,
) -> None:
    """List every dataset version.

    Example: ranklift datasets list
    """
    with registry_at(Where(context, namespace, settings)) as registry:
        manifests = registry.list_versions("dataset")
    rows = [
        {
            "version": manifest.version,
            "created": f"{manifest.created:%Y-%m-%d %H:%M}",
            "digest": manifest.digest[:12],
            "bytes": manifest.size,
        }
        for manifest in manifests
    ]
    header = ("version", "created", "digest", "bytes")
    text = table(header, [tuple(row.values()) for row in rows]) if rows else "No dataset has been prepared yet."
    answer(rows, text, as_json)


@datasets.command("show")
def show_dataset(
    version: VersionName,
    open_: Annotated[bool, typer.Option("--open", help="Fetch it and open its profile in the browser.")] = False,
    context: Context = None,
    namespace: Namespace = None,
    settings: StoreSettings = None,
    as_json: AsJson = False,
) -> None:
    """Show what a dataset version consists of.

    Example: ranklift datasets show V0 --open
    """
    where = Where(context, namespace, settings).resolved()
    _show("dataset", version, where, as_json)
    if open_:
        _open_profile(version, where)


def rollback(
    version: Annotated[str | None, typer.Argument(help="A version; the champion before today's when left out.")] = None,
    reason: Annotated[str, typer.Option(help="One sentence for the history.")] = "",
    context: Context = None,
    namespace: Namespace = None,
    settings: StoreSettings = None,
    as_json: AsJson = False,
) -> None:
    """Make an earlier version champion again, and have this machine, or the cluster, serve it.

    Example: ranklift rollback V2 --namespace ranklift
    """
    from components.deploy.rollback import rollback as roll_back
    from components.machine.settings import home_directory

    where = Where(context, namespace, settings).resolved()
    with registry_at(where) as registry:
        champion = roll_back(registry, home_directory(), version, reason, where.serving())
    answer(champion.current.model_dump(mode="json"), f"{champion.version} is champion and serves again.", as_json)


def deploy(
    version: Annotated[str | None, typer.Argument(help="A version; the champion when left out.")] = None,
    reason: Annotated[str, typer.Option(help="One sentence for the history.")] = "",
    context: Context = None,
    namespace: Namespace = None,
    settings: StoreSettings = None,
    as_json: AsJson = False,
) -> None:
    """Put the champion into service, or another version that was promoted and becomes champion once it answers.

    For a deploy that failed, was stopped, or never ran: the champion is meant to be what serves.

    Example: ranklift deploy V3 --namespace ranklift
    """
    from components.deploy.champion import deploy_again
    from components.machine.settings import home_directory

    where = Where(context, namespace, settings).resolved()
    with registry_at(where) as registry:
        champion = deploy_again(registry, home_directory(), version, reason, where.serving())
    said = "serves" if champion.current.served else "is to be served once its InferenceService is applied"
    answer(champion.current.model_dump(mode="json"), f"{champion.version} is champion and {said}.", as_json)


def prune(
    keep: Annotated[int, typer.Option(min=0, help="How many of the newest versions stay in any case.")] = 5,
    context: Context = None,
    namespace: Namespace = None,
    settings: StoreSettings = None,
    as_json: AsJson = False,
) -> None:
    """Remove old versions and what interrupted runs left; never the champion, nor what serves or is referenced.

    Example: ranklift prune --keep 5
    """
    from components.deploy.deploy import versions_in_service
    from components.machine.settings import home_directory
    from components.registry.prune import prune as prune_registry

    where = Where(context, namespace, settings).resolved()
    serving = versions_in_service(None if where.on_cluster else home_directory(), where.serving())
    with registry_at(where) as registry:
        report = prune_registry(registry, keep, serving)
    lines = [f"removed {name}" for name in (*report.removed, *report.unfinished)]
    lines += [f"kept {name}: {why}" for name, why in report.kept.items()]
    answer(report.model_dump(mode="json"), "\n".join([*lines, f"{report.bytes:,} bytes freed."]), as_json)


def verify(
    context: Context = None,
    namespace: Namespace = None,
    settings: StoreSettings = None,
    as_json: AsJson = False,
) -> None:
    """Read every byte of the registry again and compare it with what was published; status 1 when it is damaged.

    Example: ranklift verify
    """
    from components.registry.verify import verify as verify_registry

    with registry_at(Where(context, namespace, settings)) as registry:
        report = verify_registry(registry)
    lines = [f"{finding.fault}: {finding.sentence}" for finding in report.findings]
    summary = f"{report.versions} versions, {report.objects} objects, {report.bytes:,} bytes read; "
    summary += "all is what was published." if report.sound else "damage was found."
    answer(report.model_dump(mode="json"), "\n".join([*lines, summary]), as_json)
    raise typer.Exit(0 if report.sound else 1)


def _show(kind: Literal["model", "dataset"], version: str, where: Where, as_json: bool) -> None:
    with registry_at(where) as registry:
        manifest = registry.manifest(kind, version)
    lines = [f"{kind} {manifest.version}, {manifest.created:%Y-%m-%d %H:%M} UTC, digest {manifest.digest}"]
    lines += [f"  {name}: {value}" for name, value in manifest.lineage.model_dump().items() if value]
    lines += [f"  {name}: {entry.size} bytes, sha256 {entry.sha256[:12]}" for name, entry in manifest.files.items()]
    if manifest.decision is not None:
        lines.append(manifest.decision.reason)
    answer(manifest.model_dump(mode="json", exclude={"card"}), "\n".join(lines), as_json)


def _open_profile(version: str, where: Where) -> None:
    from components.dataset.manifest import PROFILE
    from components.machine.settings import home_directory

    directory: Path = home_directory() / "datasets" / version
    with registry_at(where) as registry:
        if where.on_cluster:  # whose V0 is not the V0 of this machine
            digest = registry.manifest("dataset", version).digest
            directory = home_directory() / "clusters" / "datasets" / f"{version}-{digest[:12]}"
        registry.download("dataset", version, directory)
    page = directory / PROFILE
    tell(f"The profile is at {page}.")
    open_page(page)


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
