"""A corpus in a table of PostgreSQL, read once, from front to back, in one consistent view of the table."""

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from components.errors import DataError
from components.index.passages import Passage, rows_of

SCHEMES = ("postgresql", "postgres")
_EXAMPLE = "postgresql://user@host/database?table=passages"
_CONNECT_WITHIN = 30  # seconds
_ROWS = 5000  # that are fetched at once


class Table(NamedTuple):
    """A table, and how to connect to its database."""

    dsn: str
    schema: str  #: empty: the first in the connection's search path that has the table
    name: str

    @property
    def place(self) -> str:
        """Return the table's name for an error; the URI could have a password in it."""
        return f"table {self.schema}.{self.name}" if self.schema else f"table {self.name}"


def is_postgres(uri: str) -> bool:
    """Return whether a URI names a table of PostgreSQL."""
    return uri.partition("://")[0] in SCHEMES and "://" in uri


def table_of(uri: str) -> Table:
    """Return the table that a URI names: ``postgresql://user@host/database?table=schema.passages``.

    Raises:
        DataError: when it names none, or brings a password, which would stand in the pipeline for all to read.
    """
    try:
        parts = urlsplit(uri)
        password, _ = parts.password, parts.port
    except ValueError:
        raise DataError(f"The corpus's URI is not one of PostgreSQL; write {_EXAMPLE}.") from None
    options = dict(parse_qsl(parts.query))
    named = options.pop("table", "")
    schema, _, name = named.rpartition(".")
    if password is not None or "password" in options:
        raise DataError("The corpus's URI has a password in it; give it with PGPASSWORD or ~/.pgpass instead.")
    if not name:
        raise DataError(f"The corpus's URI names no table of the database; write {_EXAMPLE}.")
    # Not `geturl`, which leaves out the two slashes where no host is named.
    return Table(f"postgresql://{parts.netloc}{parts.path}?{urlencode(options)}", schema, name)


def table_passages(uri: str) -> Iterator[Passage]:
    """Yield the passages of a table, by its columns' names; see `passages_of`.

    Raises:
        DataError: when the client is not installed, the database refuses or goes away, or a row cannot be used.
    """
    table = table_of(uri)
    try:
        import psycopg
    except ImportError as error:
        raise DataError(
            f"Reading {table.place} needs the package psycopg; `pip install 'ranklift[index]'` installs it."
        ) from error
    try:
        with psycopg.connect(table.dsn, connect_timeout=_CONNECT_WITHIN) as connection:
            yield from rows_of(_rows(connection, table), table.place)
    except psycopg.Error as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataError(f"{table.place} could not be read to its end: {reason}.") from error


def _rows(connection: "psycopg.Connection", table: Table) -> Iterator[dict[str, object]]:  # type: ignore[name-defined] # noqa: F821
    from psycopg import sql
    from psycopg.rows import dict_row

    named = sql.Identifier(*filter(None, (table.schema, table.name)))
    # A cursor of the server: what it sends ahead is all that is held, and what others write meanwhile is not seen.
    with connection.cursor(name="ranklift", row_factory=dict_row) as cursor:
        cursor.itersize = _ROWS
        cursor.execute(sql.SQL("SELECT * FROM {}").format(named))
        yield from cursor
