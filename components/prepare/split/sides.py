"""Which query is trained on and which is held out: by an evaluation set, by the files' own splits, or dealt out."""

from pathlib import Path
from typing import NamedTuple

from components.dataset.manifest import Rule
from components.errors import DataError
from components.prepare.database import Database, scalar
from components.prepare.filters.leaks import check_leaks, remove_leaks
from components.prepare.filters.rules import (
    Criterion,
    apply_criteria,
    one_row_per_positive,
    one_triplet_per_query,
    sample,
)
from components.prepare.options import PrepareOptions
from components.prepare.raw.data import RawData, parts_of
from components.prepare.raw.published_splits import Side
from components.prepare.split.collection import write_held_out_collection
from components.prepare.split.folds import check_folds, deal_folds, folds_for, write_folds
from components.prepare.split.held_out import write_held_out
from components.prepare.split.queries import group_queries, split_queries


class Division(NamedTuple):
    """What became of the queries: what was dropped on the way, and the folds, of which there are 0 where none are."""

    rules: list[Rule]
    folds: int = 0


def divide(database: Database, raw: RawData, staged: Path, options: PrepareOptions, *, is_brought: bool) -> Division:
    """Make the tables ``train`` and ``dev`` and, unless the user brought one, write the evaluation set.

    Raises:
        DataError: when nothing can be held out, or training and evaluation share what they must not.
    """
    database.execute("CREATE TABLE sides (q UBIGINT, side VARCHAR)")
    wanted: dict[Side, float] = {"evaluation": options.evaluation_queries, "dev": options.dev_queries}
    if is_brought:
        del wanted["evaluation"]
    if options.folds > 1 and (is_brought or raw.sides):
        raise DataError(
            f"folds = {options.folds} is not possible: {raw.uri} is judged on other queries than it is trained on; "
            "leave out --folds, or give all judged queries as a collection with one split."
        )
    rules = remove_leaks(database, staged, options) if is_brought else []
    folds = 0
    if raw.sides:
        rules += _take_published(database, wanted, may_share=not options.strict_passages)
    else:
        folds = _deal_out(database, wanted, options, may_share=may_share_passages(raw, options))
    rules += _fill_sides(database, options)
    if not is_brought and raw.beir is not None:
        write_held_out_collection(database, parts_of(staged), staged, options.max_corpus)
    elif not is_brought:
        write_held_out(database, staged, options.max_corpus, options.training_passages_in_corpus)
    if folds:
        write_folds(database, staged)
    return Division(rules, folds)


def may_share_passages(raw: RawData, options: PrepareOptions) -> bool:
    """Whether queries on two sides may have a positive in common.

    A collection answers all queries from the same passages; triplets of one passage often ask the same.
    """
    return raw.beir is not None and not options.strict_passages


def _deal_out(database: Database, wanted: dict[Side, float], options: PrepareOptions, *, may_share: bool) -> int:
    """Divide the queries between the sides that are wanted, or into folds; returns how many folds there are."""
    folds = 0
    if "evaluation" in wanted:
        found = group_queries(database, may_share=may_share)
        folds = folds_for(found, options)
        if folds:
            deal_folds(database, found, folds)
            return folds
    split_queries(database, wanted.get("evaluation"), wanted["dev"], may_share=may_share)
    return folds


def leaks_found(
    database: Database, raw: RawData, staged: Path, options: PrepareOptions, *, is_brought: bool, folds: int = 0
) -> list[Rule]:
    """Return what training and evaluation share in the files that were written; see `check_leaks` and `check_folds`."""
    if folds:
        return check_folds(database, may_share=may_share_passages(raw, options))
    is_dealt_apart = not (is_brought or raw.sides or raw.beir is not None)
    return check_leaks(database, staged, may_share=not (options.strict_passages or is_dealt_apart))


def _fill_sides(database: Database, options: PrepareOptions) -> list[Rule]:
    for side in ("train", "dev"):
        database.execute(f"CREATE TABLE {side} AS SELECT keys.* FROM keys JOIN sides USING (q) WHERE side = '{side}'")
    rules = apply_criteria(database, "train", [one_triplet_per_query("train", options.triplets_per_query)])
    if options.max_triplets:
        rules += apply_criteria(database, "train", [sample("train", options.max_triplets)])
    apply_criteria(database, "dev", [one_row_per_positive("dev")])
    return rules


def _take_published(database: Database, wanted: dict[Side, float], *, may_share: bool) -> list[Rule]:
    """``sides`` as the files say; a wanted side that no file brings is dealt out of training's queries."""
    database.execute(
        "CREATE TABLE sided AS SELECT keys.*, side FROM keys JOIN raw USING (row) JOIN file_sides USING (file)"
    )
    rules = apply_criteria(database, "sided", _unwanted(wanted))
    database.execute(
        "DELETE FROM keys WHERE row NOT IN (SELECT row FROM sided);"
        "INSERT INTO sides SELECT DISTINCT q, side FROM sided WHERE side != 'train';"
        "CREATE TABLE for_training AS SELECT * EXCLUDE (side) FROM sided WHERE side = 'train'"
    )
    missing = {side: limit for side, limit in wanted.items() if not scalar(database, _COUNT.format(side))}
    if missing:
        evaluation, dev = missing.get("evaluation"), missing.get("dev")
        split_queries(database, evaluation, dev, table="for_training", may_share=may_share)
    else:
        database.execute("INSERT INTO sides SELECT DISTINCT q, 'train' FROM for_training")
    return rules


def _unwanted(wanted: dict[Side, float]) -> list[Criterion]:
    """Return what the files to evaluate on and to select by have beyond what is wanted of them."""
    again = Criterion(
        "dev_query_in_training",
        "the query of a file for dev is, wholly or nearly, one of training, too",
        "SELECT row FROM sided WHERE side = 'dev' AND qc IN (SELECT qc FROM sided WHERE side = 'train')",
    )
    if "evaluation" not in wanted:
        replaced = Criterion(
            "replaced_evaluation",
            "the file is of a split to evaluate on, and another evaluation set was named",
            "SELECT row FROM sided WHERE side = 'evaluation'",
        )
        return [replaced, again]
    return [again, *(_beyond(side, int(limit)) for side, limit in wanted.items() if limit >= 1)]


_COUNT = "SELECT count(*) FROM sides WHERE side = '{}'"


def _beyond(side: str, limit: int) -> Criterion:
    kept = f"SELECT q FROM sided WHERE side = '{side}' GROUP BY q ORDER BY min(ticket), q LIMIT {limit}"
    return Criterion(
        f"{side}_queries",
        f"beyond {limit} {side} queries",
        f"SELECT row FROM sided WHERE side = '{side}' AND q NOT IN ({kept})",
    )
