"""What the registry holds of datasets."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.groups import grouped
from pipeline.commands.registry_place import Where, registry_at
from pipeline.commands.versions import VersionName, show_version
from pipeline.console import AsJson, answer, open_page, table, tell

datasets = typer.Typer(help="Dataset versions.", no_args_is_help=True)


@datasets.command("list")
@grouped
def list_datasets(
    *,
    where: Where,
    as_json: AsJson = False,
) -> None:
    """List every dataset version.

    Example: ranklift datasets list
    """
    with registry_at(where) as registry:
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
@grouped
def show_dataset(
    *,
    version: VersionName,
    open_: Annotated[bool, typer.Option("--open", help="Download it and open its profile in the browser.")] = False,
    where: Where,
    as_json: AsJson = False,
) -> None:
    """Show what a dataset version consists of.

    Example: ranklift datasets show V0 --open
    """
    where = where.resolved()
    show_version("dataset", version, where, as_json)
    if open_:
        _open_profile(version, where)


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
