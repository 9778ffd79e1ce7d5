"""Raw data on this machine, and how each kind of it becomes the table ``raw``."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.dataset.beir import BeirFolder
from components.dataset.manifest import Rule
from components.dataset.text_file import bare_suffix
from components.errors import DataError
from components.machine.digest import file_sha256, records_sha256, tree_sha256
from components.prepare.database import Database
from components.prepare.options import DEMO_SOURCE, PrepareOptions
from components.prepare.raw.beir_triplets import load_beir
from components.prepare.raw.docstrings import demo_triplets, package_versions
from components.prepare.raw.published_splits import Side, published_sides
from components.prepare.raw.readers import COLUMNS, create_raw, load_triplets
from components.raw_files.records import SUFFIXES


@dataclass
class RawData:
    """Raw data on this machine: the demo, files of triplets, or a BEIR folder."""

    uri: str
    directory: Path
    files: list[Path] = field(default_factory=list)
    beir: BeirFolder | None = None
    facts: dict[str, Any] = field(default_factory=dict)  #: what the manifest's settings say about it
    sides: tuple[Side, ...] = ()  #: of each file, where files were published as splits
    loaded_digest: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the files' bytes and names; for the demo, over the triplets that were read."""
        if self.loaded_digest:
            return self.loaded_digest
        return tree_sha256({path.relative_to(self.directory).as_posix(): file_sha256(path) for path in self.files})


def demo_data() -> RawData:
    """Return the built-in demo."""
    return RawData(DEMO_SOURCE, Path())


def local_data(uri: str, path: Path) -> RawData:
    """Return the raw data at a local path: one file, a folder of shards, or a BEIR folder.

    Raises:
        DataError: when there is nothing that `prepare` could read.
    """
    if path.is_file():
        return RawData(uri, path.parent, [path])
    if not path.is_dir():
        raise DataError(f"There is no file or folder {uri}; give a path, s3://…, hf://datasets/… or {DEMO_SOURCE}.")
    folder = BeirFolder.find(path)
    if folder is not None:
        return RawData(uri, path, folder.files, folder)
    shards = sorted(file for file in path.rglob("*") if file.is_file() and _is_shard(file.relative_to(path)))
    if not shards:
        raise DataError(
            f"{uri} holds no file that could be read; put triplets there as {', '.join(SUFFIXES[:4])} "
            "(each also .gz or .zst), or a BEIR folder with corpus.jsonl, queries.jsonl and qrels/train.tsv."
        )
    return RawData(uri, path, shards, sides=published_sides(shards, path))


def _is_shard(path: Path) -> bool:
    # In a folder ".json" is settings or a description more often than data; hidden files are somebody's cache.
    is_hidden = any(part.startswith(".") for part in path.parts)
    return not is_hidden and bare_suffix(path) in SUFFIXES and bare_suffix(path) != ".json"


def parts_of(staged: Path) -> Path:
    """Where `load` puts a collection's own Parquet files while a dataset version is made: beside it."""
    return staged.parent / "collection"


def load(database: Database, raw: RawData, options: PrepareOptions, staged: Path) -> list[Rule]:
    """Fill the table ``raw`` of a database; returns what was dropped on the way.

    Raises:
        DataError: when the data cannot be used; names file, row and column.
    """
    if raw.uri == DEMO_SOURCE:
        _load_demo(database, raw, options.seed)
        return []
    if raw.beir is not None:
        split = raw.beir.training_split(options.evaluation_split)
        return load_beir(database, raw.beir, split, options.seed, parts_of(staged))
    return load_triplets(database, raw.files)


def _load_demo(database: Database, raw: RawData, seed: int) -> None:
    triplets = demo_triplets(seed)
    raw.loaded_digest = records_sha256(text for triplet in triplets for text in triplet)
    raw.facts["packages"] = package_versions()
    create_raw(database)
    texts = {name: list(column) for name, column in zip(COLUMNS, zip(*triplets, strict=True), strict=True)}
    packages = [json.dumps({"package": triplet.query_id.partition(".")[0]}) for triplet in triplets]
    table = pa.table({**texts, "columns": packages})
    database.register("demo", table)
    database.execute("INSERT INTO raw SELECT row_number() OVER (), 0, row_number() OVER (), * FROM demo")
    database.unregister("demo")
