"""The leakage guard: no query that the evaluation asks may have been seen in training.

It reads the files that were written and knows nothing of how the split was made.
"""

from pathlib import Path
from typing import Any

from components.dataset.manifest import CORPUS, QRELS, QUERIES, Rule
from components.errors import DataError
from components.prepare.database import Database, file_literal
from components.prepare.filters.rules import EXAMPLE_CHARACTERS, Criterion, apply_criteria, count_kept
from components.prepare.options import PrepareOptions

SHARED = "shared_passage"


def remove_leaks(database: Database, evaluation: Path, options: PrepareOptions) -> list[Rule]:
    """Drop from ``keys`` what an evaluation set that the user brought shares with it, or refuse it.

    A relevant passage that both share is normal in retrieval, where one collection answers all queries: it is counted,
    and a leak only when `strict_passages` says so.

    Raises:
        DataError: when there is a leak and `on_leak` is "error"; shows the first of them.
    """
    _look_at(database, evaluation)
    leaks = _query_leaks("keys")
    if options.strict_passages:
        leaks.append(_shared_passages("keys"))
    rules = apply_criteria(database, "keys", leaks)
    refuse_leaks(rules, options)
    return rules


def refuse_leaks(rules: list[Rule], options: PrepareOptions) -> None:
    """Raise a DataError, which shows the first of them, when there are leaks and `on_leak` is "error"."""
    found = sum(rule.dropped for rule in rules)
    if not found or options.on_leak == "drop":
        return
    shown = "; ".join(_pair(rule, example) for rule in rules for example in rule.examples)
    passage = " or a positive passage" if options.strict_passages else ""
    raise DataError(
        f"{found} training rows share a query, wholly or nearly,{passage} with the evaluation set: {shown}; remove "
        "them, or let `--on-leak drop` do it."
    )


def _pair(rule: Rule, example: dict[str, Any]) -> str:
    """Both sides of a leak: what is trained on, and what is evaluated with."""
    positive = rule.name == SHARED
    ours = f"{example['query']!r} with {example['positive'][:60]!r}" if positive else repr(example["query"])
    theirs = f"{'passage' if positive else 'query'} {example['evaluation'][:80]!r}"
    return f"{ours} (query_id {example['query_id']}) and the evaluation's {theirs}"


def check_leaks(database: Database, staged: Path, *, may_share: bool) -> list[Rule]:
    """Count in ``train`` and ``dev`` what the evaluation set shares with them: by now no query.

    Args:
        database: the working database.
        staged: the dataset version, as far as it is written.
        may_share: whether training and evaluation may have relevant passages in common, which are counted then.

    Raises:
        DataError: when there is a leak all the same.
    """
    _look_at(database, staged)
    database.execute("CREATE TEMP TABLE seen AS SELECT * FROM train UNION ALL SELECT * FROM dev")
    shared = _shared_passages("seen")
    rules = apply_criteria(database, "seen", _query_leaks("seen"))
    rules.append(count_kept(database, shared) if may_share else apply_criteria(database, "seen", [shared])[0])
    found = [rule for rule in rules if rule.dropped]
    if found:
        raise DataError(
            f"The split leaks: {found[0].dropped} training rows, where {found[0].description}, such as "
            f"{found[0].examples[:1]}; please report this with the command that you ran."
        )
    return rules


def _look_at(database: Database, evaluation: Path) -> None:
    """``asked`` and ``wanted``: queries and relevant passages of an evaluation set, and how each of them begins."""
    corpus, queries, qrels = (file_literal(evaluation / name) for name in (CORPUS, QUERIES, QRELS))
    database.execute(
        "CREATE OR REPLACE TEMP TABLE asked AS SELECT hash(normal(query)) AS q, "
        f"min(left(query, {EXAMPLE_CHARACTERS})) AS evaluation FROM {queries} GROUP BY q"
    )
    database.execute(
        "CREATE OR REPLACE TEMP TABLE wanted AS "
        f"SELECT hash(normal(text)) AS p, min(left(text, {EXAMPLE_CHARACTERS})) AS evaluation FROM {corpus} "
        f"SEMI JOIN (SELECT passage_id FROM {qrels} WHERE relevance > 0) USING (passage_id) GROUP BY p"
    )


def _query_leaks(table: str) -> list[Criterion]:
    return [
        Criterion(
            "leaked_query",
            "the query is also an evaluation query",
            f"SELECT row, evaluation FROM {table} JOIN asked USING (q)",
        ),
        Criterion(
            "leaked_near_duplicate",
            "the query is a near duplicate of an evaluation query",
            f"SELECT row, evaluation FROM {table} JOIN alike_queries ON q = h JOIN (SELECT cluster, min(evaluation) AS "
            "evaluation FROM alike_queries JOIN asked ON h = q GROUP BY cluster) USING (cluster)",
        ),
    ]


def _shared_passages(table: str) -> Criterion:
    return Criterion(
        SHARED,
        "the positive passage is also relevant to an evaluation query",
        f"SELECT row, evaluation FROM {table} JOIN wanted USING (p)",
    )
