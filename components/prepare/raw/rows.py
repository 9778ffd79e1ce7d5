"""A record as rows of the table ``raw``: every value held against what its column may hold."""

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from components.raw_files.layout import Layout


class Row(NamedTuple):
    """One (query, positive, negative) of a record; an empty text is None, and a rule drops its row."""

    query_id: str | None
    query: str | None
    positive: str | None
    negative: str | None
    columns: str | None  #: the record's further columns as one JSON object


class SchemaError(ValueError):
    """A value is not of a kind that its column may hold; says why, in a clause."""


def rows_of(fields: Mapping[str, Any], layout: Layout) -> Iterator[Row]:
    """Yield the rows of a record: as many as it has positives or negatives, whichever is more.

    Raises:
        SchemaError: when a value is of the wrong kind.
    """
    query = _text(fields.get(layout.query), layout.query)  # a column that the record lacks is an empty one
    query_id = _identifier(fields.get(layout.query_id), layout.query_id) if layout.query_id else made_id(query)
    positives = _all_texts(fields, layout.positives)
    negatives = _all_texts(fields, layout.negatives)
    columns = _further(fields, layout.further)
    for place in range(max(len(positives), len(negatives))):
        yield Row(query_id, query, positives[place % len(positives)], negatives[place % len(negatives)], columns)


def made_id(query: str | None) -> str | None:
    """Return the id of a query that came without one: the same for the same text in every file."""
    return sha256(query.encode("utf-8")).hexdigest()[:16] if query else None


def _all_texts(fields: Mapping[str, Any], names: Sequence[str]) -> list[str | None]:
    found = [text for name in names for text in _texts(fields.get(name), name)]
    written: list[str | None] = [text for text in found if text and not text.isspace()]
    return written or found[:1] or [None]


def _texts(value: Any, column: str) -> list[str | None]:
    """One text, a passage with title and text, or a list of either."""
    if isinstance(value, list):
        return [_passage(item, f"column {column!r} is a list that") for item in value]
    return [_passage(value, f"column {column!r}")]


def _passage(value: Any, where: str) -> str | None:
    if isinstance(value, Mapping):
        title, text = value.get("title"), value.get("text")
        if not isinstance(text, str) or not isinstance(title, str | None):
            raise SchemaError(f"{where} holds an object without a text under 'text'")
        return _whole(f"{title or ''} {text}".strip(), where)
    if value is None or isinstance(value, str):
        return _whole(value, where)
    raise SchemaError(f"{where} holds {kind_of(value)} and not a text")


def _text(value: Any, column: str) -> str | None:
    where = f"column {column!r}"
    if value is None or isinstance(value, str):
        return _whole(value, where)
    raise SchemaError(f"{where} holds {kind_of(value)} and not a text")


def _identifier(value: Any, column: str) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text(value, column)


def _whole(text: str | None, where: str) -> str | None:
    """Return the text, unless it holds half of a character, which JSON can say and UTF-8 cannot."""
    if text is None or text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise SchemaError(f"{where} holds half of a UTF-16 surrogate pair and no whole character") from error
    return text


def _further(fields: Mapping[str, Any], names: Sequence[str]) -> str | None:
    kept = {name: fields[name] for name in names if name and isinstance(fields.get(name), str | int | float)}
    return json.dumps(kept) if kept else None


def kind_of(value: Any) -> str:
    """Return what a value is, in words."""
    kinds = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), f"a value of type {type(value).__name__}")
