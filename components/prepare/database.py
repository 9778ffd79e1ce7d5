"""The database that `prepare` works in: DuckDB in a temporary folder, out of core; and the Parquet files it writes."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from components.dataset.duckdb_path import exact_path
from components.errors import DataError
from components.machine.processor import available_cpus
from components.machine.system_faults import system_sentence

Database = duckdb.DuckDBPyConnection
ROW_GROUP = 50_000  #: rows of a Parquet file that a reader streams together; some 15 MB of text
_BATCH = 100_000


@contextmanager
def scratch_database(memory_limit: str, beside: Path) -> Iterator[Database]:
    """Open a DuckDB database that keeps to a memory limit and spills beside the output, where room is needed anyway."""
    with TemporaryDirectory(prefix=".ranklift-", dir=beside) as scratch:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            "threads": available_cpus(),
            "temp_directory": f"{scratch}/spill",
            "autoinstall_known_extensions": False,
        }
        try:
            with duckdb.connect(f"{scratch}/prepare.duckdb", config=settings) as database:
                yield database
        except duckdb.OutOfMemoryException as error:
            raise DataError(
                f"The data does not fit into memory_limit = {memory_limit!r} even with spilling to disk; raise it, "
                "for example to '4GB', and see that the disk has room."
            ) from error
        except duckdb.Error as error:
            sentence = system_sentence(error)
            if sentence is None:
                raise
            raise DataError(sentence) from error


def literal(value: str | int | float) -> str:
    """Return a value as an SQL literal."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def file_literal(path: Path) -> str:
    """Return the path of a file to read as an SQL literal, whatever wildcards its name has."""
    return literal(exact_path(path))


def identifier(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def count(database: Database, table: str) -> int:
    """Return the number of rows in a table."""
    return int(scalar(database, f"SELECT count(*) FROM {table}"))


def scalar(database: Database, statement: str) -> int:
    """Return the single integer that a statement returns; 0 when it returns NULL or no row."""
    row = database.execute(statement).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def write_parquet(database: Database, statement: str, path: Path) -> None:
    """Write the rows that a statement returns as Parquet, in their order: zstd, in row groups."""
    database.execute(
        f"COPY ({statement}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})"
    )


def content_sha256(database: Database, path: Path) -> str:
    """SHA-256 over the sorted SHA-256 of the rows of a Parquet file of texts, as 64 hexadecimal digits.

    It is the same for every row order, file format and number of threads.
    """
    table = file_literal(path)
    columns = [row[0] for row in database.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()]
    # Lengths go first: moving a character from one column to the next changes the row.
    fields = ", ".join(f"strlen({column}::VARCHAR), ':', {column}" for column in columns)
    rows = database.execute(f"SELECT sha256(concat({fields})) AS h FROM {table} ORDER BY h")
    digest = hashlib.sha256()
    while batch := rows.fetchmany(_BATCH):
        digest.update("".join(row[0] for row in batch).encode("ascii"))
    return digest.hexdigest()
