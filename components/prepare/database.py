"""The database that `prepare` works in: DuckDB in a temporary folder, out of core."""

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
