"""Sides that the files bring: no query of the held-out files may stand in the files to train on."""

from collections.abc import Sequence
from typing import Literal

import pyarrow as pa

from components.dataset.manifest import Rule
from components.prepare.database import Database
from components.prepare.filters.leaks import SHARED, refuse_leaks
from components.prepare.filters.rules import EXAMPLE_CHARACTERS, Criterion, apply_criteria, count_kept
from components.prepare.options import PrepareOptions
from components.prepare.raw.published_splits import Side


def remember_sides(database: Database, sides: Sequence[Side]) -> None:
    """Make the table ``file_sides(file, side)``."""
    database.register(
        "brought", pa.table({"file": pa.array(range(len(sides)), pa.int32()), "side": pa.array(sides, pa.string())})
    )
    database.execute("CREATE TABLE file_sides AS SELECT * FROM brought")
    database.unregister("brought")


def remove_published_leaks(database: Database, by: Literal["q", "qc"], options: PrepareOptions) -> list[Rule]:
    """Drop from ``keys`` training rows whose query or passage the files to evaluate on have too, or refuse them.

    Args:
        database: with ``file_sides``.
        by: "q" for the same query; "qc" for near duplicates of one, once ``keys`` has clusters.
        options: `on_leak` says whether a leak is an error, `strict_passages` whether a passage that both share is one.

    Raises:
        DataError: when there is a leak and `on_leak` is "error".
    """
    if by == "qc":
        near = _criterion(
            "leaked_near_duplicate", "the query is a near duplicate of an evaluation query", "qc", "query"
        )
        criteria = [near]
    else:
        criteria = [_criterion("leaked_query", "the query is also an evaluation query", "q", "query")]
    shared = _criterion(SHARED, "the positive passage is also relevant to an evaluation query", "p", "positive")
    if options.strict_passages and by == "q":
        criteria.append(shared)
    rules = apply_criteria(database, "keys", criteria)
    refuse_leaks(rules, options)
    if by == "qc" and not options.strict_passages:
        rules.append(count_kept(database, shared))
    return rules


def _criterion(name: str, description: str, key: str, text: str) -> Criterion:
    sided = "keys JOIN raw USING (row) JOIN file_sides USING (file)"
    return Criterion(
        name,
        description,
        f"SELECT row, evaluation FROM (SELECT row, {key} FROM {sided} WHERE side != 'evaluation') JOIN "
        f"(SELECT {key}, min(left({text}, {EXAMPLE_CHARACTERS})) AS evaluation FROM {sided} WHERE side = 'evaluation' "
        f"AND NOT empty GROUP BY {key}) USING ({key})",
    )
