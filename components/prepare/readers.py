"""Files of triplets, in whatever format they come, as one table.

``raw(row, file, query_id, query, positive, negative, columns)`` has all further columns of the file in ``columns``, as
one JSON object: they stay with the held-out queries, so that an evaluation can be sliced by them.

DuckDB parses them; what it would guess (types, header, dialect) is told to it, so that an id "007" stays "007".
"""

import csv
import io
import re
import shutil
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from components.errors import DataError
from components.prepare.database import Database, count, identifier, literal
from components.text_file import bare_suffix, check_whole, numbered_lines, numbered_objects, open_bytes

COLUMNS = ("query_id", "query", "positive", "negative")
SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".json")
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_NUMBERED_NEGATIVE = re.compile(r"negative_?(\d+)")
_UNREADABLE = (
    duckdb.InvalidInputException,
    duckdb.IOException,
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
    duckdb.SerializationException,
    duckdb.SyntaxException,
)
_BOM = b"\xef\xbb\xbf"
_EXAMPLE = "query_id, query, positive, negative"


def load_triplets(database: Database, files: Sequence[Path], scratch: Path) -> None:
    """Read files into the table ``raw``; ``row`` numbers the rows through all files, in the order given, from 1.

    Several negatives in one row (a list, or columns ``negative_1`` … ``negative_n``) become a row each.

    Raises:
        DataError: when a file is of no known format, damaged, not UTF-8, or lacks a column.
    """
    create_raw(database)
    for number, path in enumerate(files):
        check_whole(path)  # DuckDB does not compare a gzip file's checksum
        selected = _selection(_without_mark(path, scratch / f"without-mark-{number}"))
        try:
            database.execute(
                f"INSERT INTO raw SELECT row_number() OVER () + (SELECT coalesce(max(row), 0) FROM raw), {number}, "
                f"{', '.join(COLUMNS)}, columns FROM ({selected})"
            )
        except _UNREADABLE as error:
            raise DataError(
                f"{path} cannot be read: {_first_lines(error)}; repair that row or export the file again."
            ) from error
    if count(database, "raw") == 0:
        raise DataError(f"{files[0]} has no row; give at least a few hundred triplets ({_EXAMPLE}).")


def create_raw(database: Database) -> None:
    """Make the empty table ``raw``."""
    database.execute(
        "CREATE TABLE raw "
        "(row BIGINT, file INTEGER, query_id VARCHAR, query VARCHAR, positive VARCHAR, negative VARCHAR, "
        "columns VARCHAR)"
    )


def _without_mark(path: Path, scratch: Path) -> Path:
    """The file itself, or a copy without the byte order mark that DuckDB's JSON reader refuses."""
    if bare_suffix(path) not in _JSON_SUFFIXES:
        return path
    with open_bytes(path) as source:
        if source.read(len(_BOM)) != _BOM:
            return path
        scratch.mkdir()
        copy = scratch / f"{path.name.partition('.')[0]}.jsonl"
        with copy.open("wb") as target:
            shutil.copyfileobj(source, target)
        return copy


def _selection(path: Path) -> str:
    suffix = bare_suffix(path)
    if suffix == ".parquet":
        return _parquet(path)
    if suffix in (".csv", ".tsv"):
        return _delimited(path, "\t" if suffix == ".tsv" else ",")
    if suffix in _JSON_SUFFIXES:
        return _jsonl(path)
    raise DataError(f"{path} is of no known format; use {', '.join(SUFFIXES[:4])}, each also .gz or .zst.")


def _parquet(path: Path) -> str:
    try:
        schema = pq.read_schema(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a readable Parquet file ({error}); write it again.") from error
    negatives = _negative_columns(path, schema.names)
    types = {name: str(schema.field(name).type) for name in (*COLUMNS[:3], *negatives)}
    for name, kind in types.items():
        is_text = any(word in kind for word in ("string", "dictionary<values=string"))
        if not is_text and not (name == "query_id" and "int" in kind):
            raise DataError(f"{path}, column {name!r} holds {kind} and not text; convert it to strings.")
    lists = [f"coalesce({_as_list(name, types[name])}, [])" for name in negatives]
    return _exploded(
        f"read_parquet({literal(str(path))})",
        {name: f"{name}::VARCHAR" for name in COLUMNS[:3]},
        lists,
        _further(schema.names),
    )


def _as_list(name: str, kind: str) -> str:
    return identifier(name) if "list" in kind else f"[{identifier(name)}]"


def _delimited(path: Path, delimiter: str) -> str:
    names = _header(path, delimiter)
    if delimiter == "\t" and len(names) == 3 and not set(names) & {*COLUMNS, "negatives", "negative_1"}:
        return _triples(path)
    negatives = _negative_columns(path, names)
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    source = (
        f"read_csv({literal(str(path))}, auto_detect = false, header = true, delim = {literal(delimiter)}, "
        f"quote = '\"', escape = '\"', strict_mode = true, null_padding = false, nullstr = '', "
        f"max_line_size = 2097152, columns = {{{columns}}})"
    )
    lists = [f"[{identifier(name)}]" for name in negatives]
    return _exploded(source, {name: name for name in COLUMNS[:3]}, lists, _further(names))


def _triples(path: Path) -> str:
    """MS MARCO's ``triples.*.tsv``: query, positive and negative as texts, no header, no quoting, no id."""
    source = (
        f"read_csv({literal(str(path))}, auto_detect = false, header = false, delim = '\t', quote = '', escape = '', "
        "strict_mode = true, columns = {'query': 'VARCHAR', 'positive': 'VARCHAR', 'negative': 'VARCHAR'})"
    )
    return f"SELECT left(sha256(query), 16) AS query_id, query, positive, negative, NULL AS columns FROM {source}"


def _header(path: Path, delimiter: str) -> list[str]:
    first = next(numbered_lines(path), None)
    if first is None:
        raise DataError(f"{path} is empty; its first line must name the columns {_EXAMPLE}.")
    try:
        names = [name.strip() for name in next(csv.reader(io.StringIO(first[1]), delimiter=delimiter))]
    except csv.Error as error:  # a lone carriage return, with which old programs end their lines
        raise DataError(
            f"{path}, row 1 does not name the columns ({error}); end lines with a line feed and name {_EXAMPLE}."
        ) from error
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}, row 1 names the column {twice[0]!r} twice; rename one.")
    return names


def _jsonl(path: Path) -> str:
    names = list(dict.fromkeys(name for _, record in islice(numbered_objects(path), 100) for name in record))
    if not names:
        raise DataError(f"{path} is empty; write one JSON object a line with {_EXAMPLE}.")
    negatives = _negative_columns(path, names)
    columns = ", ".join(f"{literal(name)}: 'JSON'" for name in (*COLUMNS[:3], *negatives, *_further(names)))
    source = (
        f"read_json({literal(str(path))}, format = 'newline_delimited', maximum_object_size = 8388608, "
        f"columns = {{{columns}}})"
    )
    lists = [
        f"CASE json_type({identifier(name)}) WHEN 'ARRAY' THEN from_json({identifier(name)}, '[\"VARCHAR\"]') "
        f"ELSE [{_json_text(name, path)}] END"
        for name in negatives
    ]
    return _exploded(source, {name: _json_text(name, path) for name in COLUMNS[:3]}, lists, _further(names))


def _json_text(name: str, path: Path) -> str:
    """The text of a JSON value; a query_id may be a number, and nothing may be an object or an array."""
    allowed = "'VARCHAR', 'NULL', 'BIGINT', 'UBIGINT'" if name == "query_id" else "'VARCHAR', 'NULL'"
    complaint = literal(f"column '{name}' must be a text, and one row has ")
    value = identifier(name)
    return (
        f"CASE WHEN {value} IS NULL OR json_type({value}) IN ({allowed}) THEN json_extract_string({value}, '$') "
        f"ELSE error({complaint} || left({value}::VARCHAR, 60)) END"
    )


def _negative_columns(path: Path, names: Sequence[str]) -> list[str]:
    numbered = sorted(
        (name for name in names if _NUMBERED_NEGATIVE.fullmatch(name)), key=lambda name: (len(name), name)
    )
    negatives = [name for name in ("negative", "negatives") if name in names] + numbered
    missing = [name for name in COLUMNS[:3] if name not in names] + ([] if negatives else ["negative"])
    if missing:
        raise DataError(
            f"{path} has no column {missing[0]!r}; it has {', '.join(names[:20])}: "
            f"add or rename one, {_EXAMPLE} are needed."
        )
    return negatives


def _further(names: Sequence[str]) -> list[str]:
    known = {*COLUMNS, "negatives"}
    return [name for name in names if name not in known and not _NUMBERED_NEGATIVE.fullmatch(name)]


def _exploded(source: str, columns: dict[str, str], lists: list[str], further: list[str]) -> str:
    pairs = ", ".join(f"{literal(name)}: {identifier(name)}" for name in further)
    kept = f"to_json({{{pairs}}})::VARCHAR" if further else "NULL"
    listed = ", ".join(f"{expression} AS {name}" for name, expression in columns.items()) + f", {kept} AS columns"
    if len(lists) == 1 and lists[0].startswith("["):
        return f"SELECT {listed}, {lists[0][1:-1]} AS negative FROM {source}"
    together = lists[0] if len(lists) == 1 else f"list_concat({', '.join(lists)})"
    # A row without any negative is kept: a rule drops it and counts it.
    texts = f"list_filter({together}, lambda text: text IS NOT NULL AND trim(text) != '')"
    return (
        "SELECT * EXCLUDE (negatives), unnest(if(len(negatives) = 0, [NULL], negatives)) AS negative "
        f"FROM (SELECT {listed}, {texts} AS negatives FROM {source})"
    )


def _first_lines(error: duckdb.Error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3]).rstrip(".;")[:400]
