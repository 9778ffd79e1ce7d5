"""Files of rows as records, one at a time: what stands in which line, under which column.

Every format gives the same: ``(line, {column: value})``. Nothing is guessed of types: a value is what the file holds,
so that an id "007" stays "007".
"""

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from components.dataset.text_file import LONGEST_LINE, bare_suffix, numbered_lines, numbered_objects, raw_lines
from components.errors import DataError
from components.machine.parquet_file import open_parquet
from components.raw_files.layout import names_a_triplet

NEEDED = "query_id, query, positive, negative"
SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".json")
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_ROWS = 4096
_UNNAMED = "Unnamed: "  # what pandas calls a column without a name when it reads one
_INDEX = "__index_level_"  # what pandas calls its index in Parquet


class Record(NamedTuple):
    """One row of a file; `line` is where it begins in a text file, and its number in a Parquet file, from 1."""

    line: int
    fields: dict[str, Any]
    fault: str = ""  #: why it is no row of this file, where it is none


def records_of(path: Path) -> Iterator[Record]:
    """Return the records of a file, by its suffix.

    Raises:
        DataError: when the file is of no known format, empty, or damaged.
    """
    suffix = bare_suffix(path)
    if suffix == ".parquet":
        return parquet_records(path)
    if suffix in _JSON_SUFFIXES:
        return _unless_empty(path, json_records(path))
    if suffix in (".csv", ".tsv"):
        return _delimited(path, "\t" if suffix == ".tsv" else ",")
    raise DataError(f"{path} is of no known format; use {', '.join(SUFFIXES[:4])}, each also .gz or .zst.")


def json_records(path: Path) -> Iterator[Record]:
    """Yield the objects of a JSON Lines file; each may have other columns than the one before.

    Raises:
        DataError: when a line is not JSON object, or the file cannot be read.
    """
    for line, fields in numbered_objects(path):
        yield Record(line, fields)


def delimited_records(path: Path, delimiter: str) -> Iterator[Record]:
    """Yield the rows of a CSV or TSV file by the names in its first line; columns without a name are left out.

    Raises:
        DataError: when the file cannot be read, its quotes are never closed, or its header is none.
    """
    csv.field_size_limit(LONGEST_LINE)
    lines = _Lines(path)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        names = _names(path, [name.strip() for name in next(rows)])
        while True:
            line = lines.number + 1
            values = next(rows, None)
            if values is None:
                return
            if values:  # a blank line has none
                yield _record(line, names, values)
    except StopIteration:
        raise DataError(f"{path} is empty; its first line must name the columns {NEEDED}.") from None
    except csv.Error as error:
        raise DataError(
            f"{path} cannot be read beyond line {lines.number} ({error}); put fields that hold quotes or line ends in "
            "double quotes, double the quotes in them, and end rows with a line feed."
        ) from error


def triple_records(path: Path) -> Iterator[Record]:
    """MS MARCO's ``triples.*.tsv``: query, positive and negative as texts, no header, no quoting, no id."""
    for line, text in numbered_lines(path):
        yield _record(line, ["query", "positive", "negative"], text.split("\t"))


def parquet_records(path: Path) -> Iterator[Record]:
    """Yield the rows of a Parquet file; read only columns of texts, numbers or lists of passages.

    Raises:
        DataError: when it is no readable Parquet file, or has two columns of one name.
    """
    try:
        with open_parquet(path) as file:
            names = _names(path, file.schema_arrow.names)
            wanted = [name for name in names if name and _is_useful(file.schema_arrow.field(name).type)]
            number = 0
            for batch in file.iter_batches(_ROWS, columns=wanted):
                for fields in batch.to_pylist():
                    number += 1
                    yield Record(number, fields)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a readable Parquet file ({error}); write it again.") from error


def first_line(path: Path) -> str:
    """Return the first line of a text file that is not blank; empty when there is none."""
    return next((line for _, line in numbered_lines(path)), "")


class _Lines:
    """The lines of a file for Python's CSV reader, and the number of the last line it read."""

    def __init__(self, path: Path) -> None:
        self.number = 0
        self._lines = raw_lines(path)

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        return line


def _record(line: int, names: Sequence[str], values: Sequence[str]) -> Record:
    if len(values) != len(names):
        return Record(line, {}, f"the row has another number of values than the {len(names)} columns")
    return Record(line, {name: value for name, value in zip(names, values, strict=True) if name})


def _names(path: Path, names: Iterable[str]) -> list[str]:
    """Column names, empty where a column is an index that pandas wrote; interned, as every record has them."""
    found = [sys.intern("" if name.startswith((_UNNAMED, _INDEX)) else name) for name in names]
    twice = sorted({name for name in found if name and found.count(name) > 1})
    if twice:
        raise DataError(f"{path} names the column {twice[0]!r} twice; rename one.")
    if not any(found):
        raise DataError(f"{path} names no column; its first line must name the columns {NEEDED}.")
    return found


def _is_useful(kind: pa.DataType) -> bool:
    """Whether a column may hold texts, passages, ids, or what queries are sliced by; embeddings and images are none."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
        return not pa.types.is_floating(kind) and not pa.types.is_binary(kind)
    return not pa.types.is_binary(kind) and not pa.types.is_large_binary(kind) and not pa.types.is_temporal(kind)


def _delimited(path: Path, delimiter: str) -> Iterator[Record]:
    names = [name.strip().strip('"') for name in first_line(path).split(delimiter)]
    if delimiter == "\t" and len(names) == 3 and not names_a_triplet(names):
        return triple_records(path)
    return delimited_records(path, delimiter)


def _unless_empty(path: Path, records: Iterator[Record]) -> Iterator[Record]:
    first = next(records, None)
    if first is None:
        raise DataError(f"{path} is empty; write one JSON object a line with {NEEDED}.")
    yield first
    yield from records
