"""A corpus in the order of an index: ids ascending, each once, with the hash of its text; out of core.

DuckDB sorts and joins on disk, so that memory does not grow with the corpus.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import DataError
from components.index.passages import Passage
from components.machine.processor import available_cpus
from components.machine.system_faults import system_sentence
from components.search.shard import HASH_BYTES, Hashes

_MEMORY = "500MB"  # for DuckDB, which spills to disk beyond it
_ROWS = 10_000  # that go into the database at once
_SCHEMA = pa.schema([("place", pa.string()), ("passage_id", pa.string()), ("text", pa.string())])
_HELD = pa.schema([("hash", pa.binary(HASH_BYTES)), ("position", pa.int64())])


class Batch(NamedTuple):
    """A run of passages."""

    ids: list[str]
    texts: list[str]
    digests: list[bytes]  #: SHA-256 of each text
    held: list[int | None]  #: position of the same text in the previous index, where it has it


class SortedCorpus:
    """The passages of a corpus on disk, ready for an index.

    Attributes:
        path: the file.
        count: passages.
        dropped: rows that were left out, by reason.
        digest: SHA-256 over ids and texts, the same for every format and order of rows.
    """

    def __init__(self, path: Path, dropped: dict[str, int]) -> None:
        self.path = path
        self.dropped = dropped
        self.count: int = pq.read_metadata(path).num_rows
        self.digest = self._digest()

    def batches(self, size: int, first: int = 0) -> Iterator[Batch]:
        """Yield the passages in runs of `size`, from a run on."""
        with pq.ParquetFile(self.path) as file:
            for batch in islice(file.iter_batches(size), first, None):
                ids, texts, digests, held = (column.to_pylist() for column in batch.columns)
                yield Batch(ids, texts, digests, held)

    def _digest(self) -> str:
        whole = hashlib.sha256()
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(_ROWS, columns=["passage_id", "digest"]):
                ids, digests = (column.to_pylist() for column in batch.columns)
                whole.update(content_of(ids, digests))
        return whole.hexdigest()


def reopened(path: Path, dropped: dict[str, int]) -> SortedCorpus:
    """Return a corpus that was sorted elsewhere."""
    return SortedCorpus(path, dropped)


def content_of(ids: Sequence[str], digests: Sequence[bytes]) -> bytes:
    """Return what stands for some passages in a digest: no two lists of passages give the same bytes."""
    names = [name.encode("utf-8") for name in ids]
    return b"".join(
        len(name).to_bytes(4, "little") + name + digest for name, digest in zip(names, digests, strict=True)
    )


def sort_corpus(passages: Iterable[Passage], scratch: Path, held: Iterable[Hashes] = ()) -> SortedCorpus:
    """Put a corpus in order.

    Empty passages are left out and counted, and so are repeated rows.

    Args:
        passages: in any order.
        scratch: a folder with room for the corpus twice.
        held: the content hashes of the previous index, block by block in order of its positions.

    Raises:
        DataError: when two passages have one id and different texts, nothing is left, or the disk is full.
    """
    with _database(scratch) as database:
        rows = _fill(database, passages)
        dropped = _clean(database, rows)
        _remember(database, held)
        path = scratch / "sorted.parquet"
        database.execute(
            "COPY (SELECT passage_id, text, digest, held.position FROM rows "
            f"LEFT JOIN held ON held.hash = rows.digest[:{HASH_BYTES}] ORDER BY passage_id) "
            f"TO {_literal(path)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 16384)"
        )
    return SortedCorpus(path, dropped)


def _fill(database: duckdb.DuckDBPyConnection, passages: Iterable[Passage]) -> int:
    database.execute("CREATE TABLE given (place VARCHAR, passage_id VARCHAR, text VARCHAR)")
    count = 0
    stream = iter(passages)
    while batch := list(islice(stream, _ROWS)):
        table = pa.table([list(column) for column in zip(*batch, strict=True)], schema=_SCHEMA)
        database.register("batch", table)
        database.execute("INSERT INTO given SELECT * FROM batch")
        database.unregister("batch")
        count += len(batch)
    pa.default_memory_pool().release_unused()
    return count


def _clean(database: duckdb.DuckDBPyConnection, rows: int) -> dict[str, int]:
    twice = database.execute(
        "SELECT passage_id, min(place), max(place) FROM given WHERE text <> '' GROUP BY passage_id "
        "HAVING count(DISTINCT text) > 1 ORDER BY 1 LIMIT 1"
    ).fetchone()
    if twice is not None:
        raise DataError(
            f"{twice[2]} has the id {twice[0]!r}, which {twice[1]} has with another text; give each its own."
        )
    database.execute(
        "CREATE TABLE rows AS SELECT passage_id, any_value(text) AS text, unhex(sha256(any_value(text))) AS digest "
        "FROM given WHERE text <> '' GROUP BY passage_id"
    )
    empty = _number(database, "SELECT count(*) FROM given WHERE text = ''")
    kept = _number(database, "SELECT count(*) FROM rows")
    if kept == 0:
        raise DataError(f"The corpus has no passage: {f'all {rows:,} rows are empty' if rows else 'it has no row'}.")
    database.execute("DROP TABLE given")
    found = {"empty": empty, "repeated": rows - empty - kept}
    return {reason: number for reason, number in found.items() if number}


def _remember(database: duckdb.DuckDBPyConnection, held: Iterable[Hashes]) -> None:
    database.execute("CREATE TABLE known (hash BLOB, position BIGINT)")
    first = 0
    for block in held:
        hashes = pa.array([row.tobytes() for row in block], pa.binary(HASH_BYTES))
        table = pa.table([hashes, pa.array(range(first, first + len(block)))], schema=_HELD)
        database.register("block", table)
        database.execute("INSERT INTO known SELECT * FROM block")
        database.unregister("block")
        first += len(block)
    database.execute("CREATE TABLE held AS SELECT hash, min(position) AS position FROM known GROUP BY hash")
    database.execute("DROP TABLE known")


def _literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _number(database: duckdb.DuckDBPyConnection, statement: str) -> int:
    row = database.execute(statement).fetchone()
    return int(row[0]) if row is not None else 0


@contextmanager
def _database(scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY,
        "threads": available_cpus(),
        "temp_directory": str(scratch / "spill"),
        "autoinstall_known_extensions": False,
    }
    try:
        with duckdb.connect(str(scratch / "corpus.duckdb"), config=settings) as database:
            yield database
    except duckdb.Error as error:
        sentence = system_sentence(error)
        if sentence is None:
            raise
        raise DataError(sentence) from error
    finally:
        (scratch / "corpus.duckdb").unlink(missing_ok=True)
