"""Which column of a record is what: the names that published data sets use for query, positives and negatives."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

_QUERY_ID = ("query_id", "qid")
_QUERY = ("query", "anchor", "question")
_POSITIVE = ("positive", "positives", "pos", "positive_passages", "answer")
_NEGATIVE = ("negative", "negatives", "neg", "negative_passages")
_NUMBERED = re.compile(r"(positive|negative)_?(\d+)")


class Layout(NamedTuple):
    """The columns of a record by what they hold, each as the file names it; empty where it has none."""

    query_id: str  #: an id is made of the query where there is none
    query: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]
    further: tuple[str, ...]  #: what the held-out queries may be sliced by

    @property
    def parts(self) -> set[str]:
        """Which of query, positive and negative it has."""
        found = {"query": self.query, "positive": self.positives, "negative": self.negatives}
        return {part for part, columns in found.items() if columns}


@lru_cache(maxsize=1000)
def layout_of(names: tuple[str, ...]) -> Layout:
    """Return the layout of a record with these columns.

    Letter case does not matter, and ``-`` is ``_``. Where a record has two columns for one thing, the first name in the
    lists above counts, and the other is a further column; negatives of all columns count.
    """
    by_name: dict[str, str] = {}
    for name in names:
        by_name.setdefault(name.strip().lower().replace("-", "_"), name)
    query_id, query = _first(by_name, _QUERY_ID), _first(by_name, _QUERY)
    positives = _first(by_name, _POSITIVE) + _numbered(by_name, "positive")
    negatives = tuple(by_name[name] for name in _NEGATIVE if name in by_name) + _numbered(by_name, "negative")
    used = {*query_id, *query, *positives, *negatives}
    further = tuple(name for name in by_name.values() if name and name not in used)
    return Layout("".join(query_id), "".join(query), positives, negatives, further)


def names_a_triplet(names: Iterable[str]) -> bool:
    """Whether any of the names is that of a query, a positive or a negative: a first line without one is data."""
    known = {*_QUERY_ID, *_QUERY, *_POSITIVE, *_NEGATIVE}
    plain = [name.strip().lower().replace("-", "_") for name in names]
    return any(name in known or _NUMBERED.fullmatch(name) for name in plain)


def _first(by_name: dict[str, str], wanted: tuple[str, ...]) -> tuple[str, ...]:
    return next(((by_name[name],) for name in wanted if name in by_name), ())


def _numbered(by_name: dict[str, str], kind: str) -> tuple[str, ...]:
    found = [(int(match[2]), name) for name in by_name if (match := _NUMBERED.fullmatch(name)) and match[1] == kind]
    return tuple(by_name[name] for _, name in sorted(found))
