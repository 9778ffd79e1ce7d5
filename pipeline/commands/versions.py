"""Versions in the registry, of whatever kind."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.registry_place import Where, registry_at
from pipeline.console import answer

if TYPE_CHECKING:
    from components.registry.version import Kind

VersionName = Annotated[str, typer.Argument(help="A version, such as V3.")]


def show_version(kind: "Kind", version: str, where: Where, as_json: bool) -> None:
    """Print where a version came from and what it consists of."""
    with registry_at(where) as registry:
        manifest = registry.manifest(kind, version)
    lines = [f"{kind} {manifest.version}, {manifest.created:%Y-%m-%d %H:%M} UTC, digest {manifest.digest}"]
    lines += [f"  {name}: {value}" for name, value in manifest.lineage.model_dump().items() if value]
    lines += [f"  {name}: {entry.size} bytes, sha256 {entry.sha256[:12]}" for name, entry in manifest.files.items()]
    if manifest.decision is not None:
        lines.append(manifest.decision.reason)
    answer(manifest.model_dump(mode="json", exclude={"card"}), "\n".join(lines), as_json)
