"""Folds: where judged queries are few, all of them are trained on, and each is judged by a model that has not seen it.

Holding out a quarter of fifty queries leaves too few on either side: on twelve queries the gate sees next to no gain,
and what they would have taught is lost. With folds every query is both. `train` trains one model for each fold on the
queries of the others, and the final model on all of them; `evaluate` scores the queries of a fold with that fold's
model, and `gate` compares these scores with the champion's.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.dataset.manifest import FOLDS, Rule
from components.errors import DataError
from components.prepare.database import Database, write_parquet
from components.prepare.filters.rules import Criterion, apply_criteria, count_kept
from components.prepare.options import DEFAULT_FOLDS, FEW_QUERIES, LEAST_FOLDS, PrepareOptions
from components.prepare.split.queries import QueryGroups


def folds_for(found: QueryGroups, options: PrepareOptions) -> int:
    """In how many folds queries are cross-validated; 0 where some of them are held out instead.

    Raises:
        DataError: when folds were asked for, and the queries cannot be divided into as many.
    """
    groups = found.number
    if options.folds > 1:
        if groups < options.folds:
            raise DataError(
                f"{found.total} judged queries form {groups} groups that share positives or near duplicates, and "
                f"folds = {options.folds} needs as many groups; give fewer folds, at least {LEAST_FOLDS}, or more data."
            )
        return options.folds
    wants_held_out = options.folds == 1 or any(
        getattr(options, name) != PrepareOptions.model_fields[name].default
        for name in ("evaluation_queries", "dev_queries")
    )
    if wants_held_out or found.total >= FEW_QUERIES or groups < LEAST_FOLDS:
        return 0
    return min(DEFAULT_FOLDS, groups)


def deal_folds(database: Database, found: QueryGroups, folds: int, table: str = "keys") -> None:
    """Make the table ``folds(q, fold)``, and put all queries on the sides of training and evaluation both.

    Queries that hang together are in one fold. The largest groups come first, equal ones in a seeded order, each into
    the fold that has the fewest queries so far.
    """
    database.register("dealt", pa.table({"q": found.queries, "fold": fold_of_each(found, folds)}))
    database.execute(
        f"CREATE TABLE folds AS SELECT DISTINCT keys.q, fold FROM {table} AS keys JOIN dealt ON qc = dealt.q;"
        "INSERT INTO sides SELECT q, side FROM folds, (VALUES ('train'), ('evaluation')) AS both_sides(side)"
    )
    database.unregister("dealt")


def fold_of_each(found: QueryGroups, folds: int) -> NDArray[np.int32]:
    """Return the fold of each query."""
    fold_of_group = np.zeros(found.number, dtype=np.int32)
    sizes = np.zeros(folds, dtype=np.int64)
    for group in np.lexsort((found.turns, -found.sizes)):
        fold_of_group[group] = fold = int(sizes.argmin())
        sizes[fold] += found.sizes[group]
    return fold_of_group[found.groups]


def write_folds(database: Database, staged: Path) -> None:
    """Write ``folds.parquet``: the fold of each query_id, those included that ask the same under another id."""
    write_parquet(
        database,
        "SELECT DISTINCT query_id, fold FROM raw JOIN folds ON hash(normal(query)) = folds.q ORDER BY query_id",
        staged / FOLDS,
    )


def check_folds(database: Database, *, may_share: bool) -> list[Rule]:
    """Count the training triplets whose positive is relevant in another fold, too: by now none, unless it may be.

    Raises:
        DataError: when folds share what they must not.
    """
    criteria = [
        Criterion(
            "query_in_two_folds",
            "the query is a near duplicate of one in another fold",
            "SELECT row FROM train JOIN folds USING (q) WHERE qc IN "
            "(SELECT qc FROM keys JOIN folds USING (q) GROUP BY qc HAVING min(fold) != max(fold))",
        )
    ]
    shared = Criterion(
        "shared_passage",
        "the positive passage is also relevant to a query of another fold",
        "SELECT row FROM train JOIN folds USING (q) WHERE p IN "
        "(SELECT p FROM keys JOIN folds USING (q) GROUP BY p HAVING min(fold) != max(fold))",
    )
    rules = [count_kept(database, shared)] if may_share else []
    leaks = apply_criteria(database, "train", criteria if may_share else [*criteria, shared])
    found = [rule for rule in leaks if rule.dropped]
    if found:
        raise DataError(
            f"The folds leak: {found[0].dropped} training rows, where {found[0].description}, such as "
            f"{found[0].examples[:1]}; please report this with the command that you ran."
        )
    return rules + leaks
