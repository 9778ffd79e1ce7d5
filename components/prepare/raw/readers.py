"""Files of triplets, in whatever format they come, as one table.

``raw(row, file, line, query_id, query, positive, negative, columns)`` has all further columns of the file in
``columns``, as one JSON object: they stay with the held-out queries, so that an evaluation can be sliced by them.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa

from components.dataset.manifest import Rule
from components.errors import DataError
from components.prepare.database import Database, count
from components.prepare.raw.id_texts import refuse_ids_as_texts
from components.prepare.raw.rows import Row, SchemaError, rows_of
from components.prepare.raw.unusable import Unusable
from components.raw_files.layout import layout_of
from components.raw_files.records import NEEDED, Record, records_of

COLUMNS = ("query_id", "query", "positive", "negative")
_PARTS = ("query", "positive", "negative")
_BATCH = 20_000
_SCHEMA = pa.schema(
    [("row", pa.int64()), ("file", pa.int32()), ("line", pa.int64())]
    + [(name, pa.string()) for name in (*COLUMNS, "columns")]
)
_Values = tuple[int, int, int, str | None, str | None, str | None, str | None, str | None]


def load_triplets(database: Database, files: Sequence[Path]) -> list[Rule]:
    """Read files into the table ``raw``; ``row`` numbers the rows through all files, in the order given, from 1.

    Several positives or negatives in a record become a row each.

    Returns:
        What was left out because it is not what the format says.

    Raises:
        DataError: when a file is of no known format, damaged or lacks a column, or too many rows were left out.
    """
    create_raw(database)
    unusable = Unusable()
    values = _values(files, unusable)
    while batch := list(islice(values, _BATCH)):
        table = pa.table([list(column) for column in zip(*batch, strict=True)], schema=_SCHEMA)
        database.register("batch", table)
        database.execute("INSERT INTO raw SELECT * FROM batch")
        database.unregister("batch")
    pa.default_memory_pool().release_unused()  # what reading needed, DuckDB needs next
    unusable.check()
    if count(database, "raw") == 0:
        raise DataError(f"{files[0]} has no row; give at least a few hundred triplets ({NEEDED}).")
    refuse_ids_as_texts(database, list(files))
    return unusable.rules()


def create_raw(database: Database) -> None:
    """Make the empty table ``raw``."""
    database.execute(
        "CREATE TABLE raw "
        "(row BIGINT, file INTEGER, line BIGINT, query_id VARCHAR, query VARCHAR, positive VARCHAR, negative VARCHAR, "
        "columns VARCHAR)"
    )


def _values(files: Sequence[Path], unusable: Unusable) -> Iterator[_Values]:
    row = 0
    for number, path in enumerate(files):
        reader = _TripletReader(path, unusable)
        for record in records_of(path):
            for found in reader.rows(record):
                row += 1
                yield (row, number, record.line, *found)
        reader.finish()


class _TripletReader:
    """Turns the records of one file into rows, each by its own columns, and says at the end what no record had."""

    def __init__(self, path: Path, unusable: Unusable) -> None:
        self._path, self._unusable = path, unusable
        self._names: dict[str, None] = {}
        self._parts: set[str] = set()

    def rows(self, record: Record) -> list[Row]:
        """Return the rows of a record; none, and one more to the count, when it is not what the format says."""
        self._unusable.rows += 1
        try:
            if record.fault:
                raise SchemaError(record.fault)
            names = tuple(record.fields)
            layout = layout_of(names)
            if len(self._parts) < len(_PARTS):
                self._parts |= layout.parts
                self._names.update(dict.fromkeys(names))
            return list(rows_of(record.fields, layout))
        except SchemaError as error:
            self._unusable.add(self._path, record.line, str(error))
            return []

    def finish(self) -> None:
        """Raise a DataError when no record of the file had a query, a positive or a negative."""
        missing = [part for part in _PARTS if part not in self._parts]
        if missing and self._names:
            raise DataError(
                f"{self._path} has no column {missing[0]!r}; it has {', '.join(list(self._names)[:20])}: "
                f"add or rename one, {NEEDED} are needed."
            )
