"""The split: queries that share a query text or a positive passage, however indirectly, stay on one side."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from components.errors import DataError
from components.prepare.database import Database, count

SIDES = ("train", "evaluation", "dev")
LARGEST_EVALUATION = 0.25  # share of all queries that a count may come to
LARGEST_DEV = 0.1
_Hashes = NDArray[np.uint64]


class Sizes(NamedTuple):
    """How many queries to hold out; 0 for a side that is not to be filled."""

    evaluation: int
    dev: int


def sizes_of(queries: int, evaluation: float | None, dev: float | None) -> Sizes:
    """Numbers of queries from counts or shares; a count comes to at most a quarter for evaluation, a tenth for dev."""
    return Sizes(_size(queries, evaluation, LARGEST_EVALUATION), _size(queries, dev, LARGEST_DEV))


class QueryGroups(NamedTuple):
    """The queries of a table of keys, and which of them hang together."""

    queries: _Hashes  #: of a query, or of a cluster of near duplicates
    tickets: _Hashes  #: a seeded number for each
    members: NDArray[np.int64]  #: how many queries each stands for, its near duplicates included
    groups: NDArray[np.int32]  #: the group of each, numbered from 0

    @property
    def total(self) -> int:
        """How many queries there are."""
        return int(self.members.sum())

    @property
    def number(self) -> int:
        """How many groups there are."""
        return len(self.sizes)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The queries of each group."""
        return np.bincount(self.groups, weights=self.members).astype(np.int64)

    @property
    def turns(self) -> _Hashes:
        """The smallest ticket of each group."""
        first = np.full(self.number, np.iinfo(np.uint64).max, dtype=np.uint64)
        np.minimum.at(first, self.groups, self.tickets)
        return first


def group_queries(database: Database, *, table: str = "keys", may_share: bool = False) -> QueryGroups:
    """Return the queries of a table of keys with clusters; see `split_queries` for `may_share`."""
    found = database.execute(
        f"SELECT qc AS q, min(ticket) AS ticket, count(DISTINCT q) AS members FROM {table} GROUP BY qc ORDER BY qc"
    ).fetchnumpy()
    queries, tickets, members = (np.asarray(found[name]) for name in ("q", "ticket", "members"))
    groups = np.arange(len(queries), dtype=np.int32) if may_share else _groups(database, table, queries)
    return QueryGroups(queries, tickets, members, groups)


def split_queries(
    database: Database, evaluation: float | None, dev: float | None, *, table: str = "keys", may_share: bool = False
) -> None:
    """Add to the table ``sides(q, side)`` the queries of a table of keys; see `SIDES`.

    Groups of queries that hang together are dealt out in a seeded order. A group that is larger than what a side still
    needs goes elsewhere, so that a side may stay a little smaller than asked for; it grows larger only where it would
    be empty otherwise.

    Args:
        database: the working database.
        evaluation: queries to hold out, a count or a share; None where evaluation queries come from elsewhere.
        dev: the same for the evaluator during training.
        table: of keys, with clusters.
        may_share: whether queries on two sides may have a positive in common.

    Raises:
        DataError: when no query can be held out, or none is left to train on; says what joins the queries.
    """
    found = group_queries(database, table=table, may_share=may_share)
    sides = deal(found.groups, found.tickets, found.members, sizes_of(found.total, evaluation, dev))
    needed = [place for place, wanted in enumerate((1.0, evaluation, dev)) if wanted is not None]
    if not all((sides == place).any() for place in needed):
        raise DataError(_why(database, table, found.groups, found.members, [SIDES[place] for place in needed]))
    database.register("dealt", pa.table({"q": found.queries, "side": sides}))
    names = ", ".join(f"'{name}'" for name in SIDES)
    database.execute(
        f"INSERT INTO sides SELECT DISTINCT keys.q, [{names}][side + 1] AS side "
        f"FROM {table} AS keys JOIN dealt ON qc = dealt.q"
    )
    database.unregister("dealt")


def deal(groups: NDArray[np.int32], order: _Hashes, members: NDArray[np.int64], sizes: Sizes) -> NDArray[np.int8]:
    """Deal groups out: for each query its side, as a place in `SIDES`.

    Every side gets a group wherever there are as many groups as sides: the last of the largest ones is kept for
    training, and a side that no group fits gets the smallest group that is left.

    Args:
        groups: the group of each query, numbered from 0.
        order: a seeded number for each query; a group comes when its smallest number does.
        members: how many queries each of these queries stands for, its near duplicates included.
        sizes: how many queries to hold out.
    """
    total = np.bincount(groups, weights=members).astype(np.int64)
    first = np.full(len(total), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(first, groups, order)
    turns = np.argsort(first, kind="stable")
    kept = turns[np.flatnonzero(total[turns] == total.max())[-1]] if len(turns) else -1
    open_turns = turns[turns != kept]
    side_of_group = np.zeros(len(total), dtype=np.int8)
    wanted = [(place, size) for place, size in ((1, sizes.evaluation), (2, sizes.dev)) if size]
    for place, size in wanted:
        _fill(side_of_group, total, open_turns, place, size)
    for place, _ in wanted:
        if not (side_of_group == place).any():
            _take_smallest(side_of_group, total, open_turns, place)
    return side_of_group[groups]


def _fill(sides: NDArray[np.int8], total: NDArray[np.int64], turns: NDArray[Any], place: int, room: int) -> None:
    for group in turns:
        if room == 0:
            return
        if sides[group] == 0 and total[group] <= room:
            sides[group] = place
            room -= int(total[group])


def _take_smallest(sides: NDArray[np.int8], total: NDArray[np.int64], turns: NDArray[Any], place: int) -> None:
    """Give a side the smallest group: of training's, or of another side's that has several."""
    free = turns[sides[turns] == 0]
    others = turns[(sides[turns] != 0) & (np.bincount(sides, minlength=len(SIDES))[sides[turns]] > 1)]
    candidates = free if len(free) else others
    if len(candidates):
        sides[candidates[np.argmin(total[candidates])]] = place


def _groups(database: Database, table: str, queries: _Hashes) -> NDArray[np.int32]:
    """Return the connected component of each query, over near duplicates and over positives that queries share."""
    shared = database.execute(
        f"SELECT DISTINCT qc AS q, pc AS p FROM {table} "
        f"SEMI JOIN (SELECT pc FROM {table} GROUP BY pc HAVING min(qc) != max(qc)) USING (pc)"
    ).fetchnumpy()
    rows = np.searchsorted(queries, np.asarray(shared["q"]))
    passages, columns = np.unique(np.asarray(shared["p"]), return_inverse=True)
    nodes = len(queries) + len(passages)
    edges = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns + len(queries))), shape=(nodes, nodes))
    labels: NDArray[np.int32] = connected_components(edges, directed=False)[1]
    return np.unique(labels[: len(queries)], return_inverse=True)[1].astype(np.int32)


def _size(queries: int, wanted: float | None, largest: float) -> int:
    if wanted is None:
        return 0
    most = wanted * queries if wanted < 1 else min(wanted, int(queries * largest))
    return max(1, round(most))


def _why(
    database: Database, table: str, groups: NDArray[np.int32], members: NDArray[np.int64], needed: list[str]
) -> str:
    """Return what keeps queries from being split, and what to do."""
    total = np.bincount(groups, weights=members).astype(np.int64)
    text = (
        f"{members.sum()} queries cannot be split into {', '.join(needed)} with nothing shared between them: they form "
        f"{len(total)} groups that share positives or near duplicates, and {len(needed)} are needed"
    )
    if len(total) == count(database, f"(SELECT DISTINCT qc FROM {table})"):
        return f"{text}; give more queries."
    passage, queries = database.execute(
        f"SELECT left(any_value(positive), 60), count(DISTINCT qc) AS queries FROM {table} JOIN raw USING (row) "
        "GROUP BY pc ORDER BY queries DESC, pc LIMIT 1"
    ).fetchall()[0]
    return (
        f"{text}. The largest has {total.max()} queries; the passage {passage!r} alone answers {queries}. Give queries "
        "about other passages, or an evaluation set with --evaluation-data."
    )
