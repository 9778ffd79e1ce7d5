"""Slices: groups of queries that a mean over all of them can hide."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

Slices = dict[str, dict[str, list[str]]]  #: {slicing: {slice: [query_id]}}

_LENGTHS = ((3, "1-3 words"), (7, "4-7 words"), (15, "8-15 words"))
_LONGEST = "16 words or more"
_RELEVANT = ((0, "none"), (1, "1"), (4, "2-4"))
_MOST_RELEVANT = "5 or more"
#: A column with more values than this is cut into quartiles when it holds numbers, and left alone when not.
_MOST_VALUES = 20


def query_slices(
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    columns: Mapping[str, Mapping[str, Any]],
) -> Slices:
    """Return the slicings of an evaluation set, each with its slices and their query ids.

    Queries are grouped by their length in words, by their number of relevant passages, and by every column that the
    user's queries carry: by value where there are at most 20, by quartile where a column holds more and
    all are numbers. A slicing with a single slice says nothing and is left out.
    """
    slicings = {
        "query length": {query: _bin(len(text.split()), _LENGTHS, _LONGEST) for query, text in queries.items()},
        "relevant passages": {
            query: _bin(sum(grade > 0 for grade in qrels[query].values()), _RELEVANT, _MOST_RELEVANT)
            for query in queries
        },
        **{f"column {name}": _column_slices(values) for name, values in columns.items()},
    }
    grouped = {name: _group(labels) for name, labels in slicings.items()}
    return {name: groups for name, groups in grouped.items() if len(groups) > 1}


def _bin(value: int, bins: tuple[tuple[int, str], ...], last: str) -> str:
    return next((label for most, label in bins if value <= most), last)


def _column_slices(values: Mapping[str, Any]) -> dict[str, str]:
    labels = {query: str(value) for query, value in values.items() if isinstance(value, str | int | float)}
    if len(set(labels.values())) <= _MOST_VALUES:
        return labels
    if not all(isinstance(value, int | float) for value in values.values()):
        return {}
    return _quartiles({query: float(value) for query, value in values.items()})


def _quartiles(values: Mapping[str, float]) -> dict[str, str]:
    cuts = np.quantile(list(values.values()), [0.25, 0.5, 0.75])
    names = (
        f"1st quarter, up to {cuts[0]:g}",
        f"2nd quarter, up to {cuts[1]:g}",
        f"3rd quarter, up to {cuts[2]:g}",
        f"4th quarter, over {cuts[2]:g}",
    )
    return {query: names[int(np.searchsorted(cuts, value))] for query, value in values.items()}


def _group(labels: Mapping[str, str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for query in sorted(labels):
        groups.setdefault(labels[query], []).append(query)
    return {name: groups[name] for name in sorted(groups, key=_natural)}


def _natural(label: str) -> list[tuple[bool, int, str]]:
    """Return a key that puts "4-7 words" before "16 words or more"."""
    parts = re.findall(r"[0-9]+|[^0-9]+", label)
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
