"""Index versions: what the registry holds of them, and whether one is whole."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import typer

from pipeline.commands.groups import grouped
from pipeline.commands.registry_place import Where, registry_at
from pipeline.commands.versions import VersionName
from pipeline.console import AsJson, answer, table, working

if TYPE_CHECKING:
    from components.registry.registry import Registry, VersionManifest
    from components.search.version import IndexManifest

indexes = typer.Typer(help="Index versions: corpora embedded with a model.", no_args_is_help=True)


@indexes.command("list")
@grouped
def list_indexes(
    *,
    where: Where,
    as_json: AsJson = False,
) -> None:
    """List every index version, the model that it was made with, and which one the champion is searched with.

    Example: ranklift indexes list
    """
    with registry_at(where) as registry:
        champion = registry.champion()
        searched = champion.index if champion is not None else None
        manifests = registry.list_versions("index")
        rows = [_row(item, _described(registry, item.version), searched) for item in manifests]
    header = ("version", "created", "model", "passages", "corpus", "recall@10", "bytes", "champion")
    text = table(header, [tuple(row.values()) for row in rows]) if rows else "No index has been made yet."
    answer(rows, text, as_json)


@indexes.command("show")
@grouped
def show_index(
    *,
    version: VersionName,
    where: Where,
    as_json: AsJson = False,
) -> None:
    """Show what an index version holds, how it was made, and what was verified before it was used.

    Example: ranklift indexes show V1
    """
    with registry_at(where) as registry:
        manifest = registry.manifest("index", version)
        index = _described(registry, version)
    lines = [f"index {version}, {manifest.created:%Y-%m-%d %H:%M} UTC, digest {index.digest}"]
    parts = index.model_dump(include={"model", "corpus", "verification", "build"}, exclude_none=True)
    lines += [f"  {part} {name}: {value}" for part, fields in parts.items() for name, value in fields.items()]
    searched = f"{len(index.graph.sha256)} {index.graph.storage} graphs" if index.graph else "exact"
    lines.append(
        f"  search: {searched}; {len(index.shards)} shards of {index.dimension} {index.storage} numbers a passage"
    )
    answer({"version": version, "digest": index.digest, **index.model_dump(mode="json")}, "\n".join(lines), as_json)


@indexes.command("verify")
@grouped
def verify_index(
    *,
    version: VersionName,
    where: Where,
    as_json: AsJson = False,
) -> None:
    """Fetch an index version, compare every byte with what was published, and open it; status 1 when it is damaged.

    Example: ranklift indexes verify V1
    """
    from components.errors import RankliftError
    from components.machine.settings import home_directory

    home = home_directory()
    home.mkdir(parents=True, exist_ok=True)
    with registry_at(where) as registry, TemporaryDirectory(dir=home) as scratch:
        registry.manifest("index", version)  # a version that is not there is no damaged one
        try:
            with working(f"verify index {version}"):
                passages = _verified(registry, version, Path(scratch) / version)
        except RankliftError as error:
            answer({"version": version, "sound": False, "fault": str(error)}, str(error), as_json)
            raise typer.Exit(1) from error
    text = f"index {version} is what was published: {passages:,} passages that can be searched."
    answer({"version": version, "sound": True, "passages": passages}, text, as_json)


def _verified(registry: "Registry", version: str, folder: Path) -> int:
    """Fetch and open an index as a predictor would; the number of its passages."""
    from components.search.reader import open_index

    manifest = registry.download("index", version, folder)
    index = open_index(folder, manifest.lineage.model_digest, verify=True)
    index.search(index.vectors(index.positions([index.shards[0].ids[0]])), 1)
    return len(index)


def _described(registry: "Registry", version: str) -> "IndexManifest":
    from components.registry.version import key_of
    from components.search.version import INDEX, IndexManifest

    key = key_of("index", version, INDEX)
    return IndexManifest.parse(registry.store.get(key).content, key)


def _row(manifest: "VersionManifest", index: "IndexManifest", champion: str | None) -> dict[str, Any]:
    return {
        "version": manifest.version,
        "created": f"{manifest.created:%Y-%m-%d %H:%M}",
        "model": index.model.version,
        "passages": index.count,
        "corpus": index.corpus.source,
        "recall@10": f"{index.verification.recall:.4f}" if index.verification else "",
        "bytes": manifest.size,
        "champion": "champion" if manifest.version == champion else "",
    }
