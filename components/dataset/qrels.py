"""Relevance judgements as BEIR, MTEB and TREC publish them: columns by the names in the header, where there is one."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from components.dataset.text_file import numbered_lines
from components.errors import DataError

_ROLES = {
    "query": {"queryid", "qid", "query", "topic", "topicid"},
    "passage": {"corpusid", "docid", "documentid", "docno", "pid", "passageid", "doc", "document", "passage"},
    "relevance": {"score", "relevance", "rel", "label", "grade", "judgment", "judgement"},
}
_INTEGER = re.compile(r"[+-]?\d{1,9}(\.0+)?")
_HEADER = "query-id<TAB>corpus-id<TAB>score"


class Judgement(NamedTuple):
    """One row of the qrels."""

    row: int
    query_id: str
    passage_id: str
    relevance: int


class _Columns(NamedTuple):
    """Which field of a line is what, and how many there are."""

    query: int
    passage: int
    relevance: int
    fields: int


_BEIR = _Columns(query=0, passage=1, relevance=2, fields=3)
_TREC_FIELDS = 4


def read_qrels(path: Path) -> Iterator[Judgement]:
    """Yield the judgements of a file: columns by the names in its header, or without one as BEIR or TREC order them.

    BEIR has query, passage, relevance; TREC has query, iteration, passage, relevance. Fields are separated by tabs, or
    by any white space when a line has no tab.

    Raises:
        DataError: when the file cannot be read, a header lacks a column, a row has another number of fields, or a
            relevance is no integer.
    """
    named: _Columns | None = None
    is_first = True
    for row, line in numbered_lines(path):
        fields = [field.strip() for field in line.split("\t")] if "\t" in line else line.split()
        if is_first:
            is_first = False
            named = _header(fields, path, row)
            if named is not None:
                continue
        # TREC's four columns also come below BEIR's header of three.
        is_by_order = named is None or (named == _BEIR and len(fields) == _TREC_FIELDS)
        columns = _by_order(fields) if is_by_order else named
        if columns is None or len(fields) != columns.fields or not all(fields):
            raise DataError(
                f"{path}, row {row} has {len([field for field in fields if field])} values; qrels have three "
                "(query-id, corpus-id, score) or TREC's four (query, iteration, passage, relevance), separated by tabs."
            )
        relevance = _relevance(fields[columns.relevance], path, row)
        yield Judgement(row, fields[columns.query], fields[columns.passage], relevance)


def _by_order(fields: Sequence[str]) -> _Columns | None:
    count = len(fields)
    return _Columns(0, count - 2, count - 1, count) if count in (3, 4) else None


def _header(fields: Sequence[str], path: Path, row: int) -> _Columns | None:
    """Return the columns that a first line names; None when it is a judgement."""
    plain = [re.sub(r"[-_ ]", "", field.strip('"').lower()) for field in fields]
    found = {
        role: next((place for place, name in enumerate(plain) if name in names), None) for role, names in _ROLES.items()
    }
    missing = [role for role, place in found.items() if place is None]
    if len(missing) > 1:
        return None
    if missing:
        raise DataError(
            f"{path}, row {row} names the columns {', '.join(fields)} and none for the {missing[0]}; name them "
            f"{_HEADER}, in any order."
        )
    return _Columns(found["query"] or 0, found["passage"] or 0, found["relevance"] or 0, len(fields))


def _relevance(value: str, path: Path, row: int) -> int:
    if not _INTEGER.fullmatch(value):
        raise DataError(
            f"{path}, row {row}, column 'score' is {value!r}; a relevance is an integer such as 0, 1 or 2, and columns "
            f"in another order need a header such as {_HEADER}."
        )
    return int(float(value))
