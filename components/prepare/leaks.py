"""The leakage guard: nothing that the evaluation asks for may have been seen in training.

It reads the files that were written and knows nothing of how the split was made.
"""

from pathlib import Path
from typing import Any, Literal

from components.dataset import CORPUS, QRELS, QUERIES, Rule
from components.errors import DataError
from components.prepare.database import Database, file_literal
from components.prepare.rules import EXAMPLE_CHARACTERS, Criterion, apply_criteria


def remove_leaks(database: Database, evaluation: Path, on_leak: Literal["error", "drop"]) -> list[Rule]:
    """Drop from ``keys`` what an evaluation set that the user brought shares with it, or refuse it.

    Raises:
        DataError: when there is a leak and `on_leak` is "error"; shows the first of them.
    """
    rules = apply_criteria(database, "keys", _criteria(database, evaluation, "keys"))
    leaks = sum(rule.dropped for rule in rules)
    if leaks and on_leak == "error":
        shown = "; ".join(_pair(rule, example) for rule in rules for example in rule.examples)
        raise DataError(
            f"{leaks} training rows share a query, wholly or nearly, or a positive passage with the evaluation set: "
            f"{shown}; remove them, or let `--on-leak drop` do it."
        )
    return rules


def _pair(rule: Rule, example: dict[str, Any]) -> str:
    """Both sides of a leak: what is trained on, and what is evaluated with."""
    positive = rule.name == "leaked_positive"
    ours = f"{example['query']!r} with {example['positive'][:60]!r}" if positive else repr(example["query"])
    theirs = f"{'passage' if positive else 'query'} {example['evaluation'][:80]!r}"
    return f"{ours} (query_id {example['query_id']}) and the evaluation's {theirs}"


def check_leaks(database: Database, staged: Path) -> list[Rule]:
    """Count in ``train`` and ``dev`` what the evaluation set shares with them: by now, nothing.

    Raises:
        DataError: when there is a leak all the same.
    """
    database.execute("CREATE TEMP TABLE seen AS SELECT * FROM train UNION ALL SELECT * FROM dev")
    rules = apply_criteria(database, "seen", _criteria(database, staged, "seen"))
    found = [rule for rule in rules if rule.dropped]
    if found:
        raise DataError(
            f"The split leaks: {found[0].dropped} training rows, where {found[0].description}, such as "
            f"{found[0].examples[:1]}; please report this with the command that you ran."
        )
    return rules


def _criteria(database: Database, evaluation: Path, table: str) -> list[Criterion]:
    corpus, queries, qrels = (file_literal(evaluation / name) for name in (CORPUS, QUERIES, QRELS))
    # Beside each hash the first characters of what it stands for, to be shown.
    database.execute(
        "CREATE OR REPLACE TEMP TABLE asked AS SELECT hash(normal(query)) AS q, "
        f"min(left(query, {EXAMPLE_CHARACTERS})) AS evaluation FROM {queries} GROUP BY q"
    )
    database.execute(
        "CREATE OR REPLACE TEMP TABLE wanted AS "
        f"SELECT hash(normal(text)) AS p, min(left(text, {EXAMPLE_CHARACTERS})) AS evaluation FROM {corpus} "
        f"SEMI JOIN (SELECT passage_id FROM {qrels} WHERE relevance > 0) USING (passage_id) GROUP BY p"
    )
    return [
        Criterion(
            "leaked_query",
            "the query is also an evaluation query",
            f"SELECT row, evaluation FROM {table} JOIN asked USING (q)",
        ),
        Criterion(
            "leaked_positive",
            "the positive passage is also relevant to an evaluation query",
            f"SELECT row, evaluation FROM {table} JOIN wanted USING (p)",
        ),
        Criterion(
            "leaked_near_duplicate",
            "the query is a near duplicate of an evaluation query",
            f"SELECT row, evaluation FROM {table} JOIN alike_queries ON q = h JOIN (SELECT cluster, min(evaluation) AS "
            "evaluation FROM alike_queries JOIN asked ON h = q GROUP BY cluster) USING (cluster)",
        ),
    ]
