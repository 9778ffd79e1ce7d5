"""The split: queries that share a query text or a positive passage, however indirectly, stay on one side."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from components.errors import DataError
from components.prepare.database import Database

SIDES = ("train", "evaluation", "dev")
LARGEST_EVALUATION = 0.25  # share of all queries
LARGEST_DEV = 0.1
_Hashes = NDArray[np.uint64]


class Sizes(NamedTuple):
    """How many queries to hold out."""

    evaluation: int
    dev: int


def sizes_of(queries: int, evaluation: float | None, dev: float) -> Sizes:
    """Counts from counts or shares; evaluation gets at most a quarter of the queries, dev a tenth."""
    held_out = 0 if evaluation is None else _size(queries, evaluation, LARGEST_EVALUATION)
    return Sizes(held_out, _size(queries, dev, LARGEST_DEV))


def split_queries(database: Database, evaluation: float | None, dev: float) -> None:
    """Make the table ``sides(q, side)`` for the queries in ``keys``; see `SIDES`.

    Groups of queries that hang together are dealt out in a seeded order. A group that is larger than what a side still
    needs goes to training, so that a side may stay a little smaller than asked for and never grows larger.

    With `evaluation` None nothing is held out for evaluation: the user brought a set of their own.

    Raises:
        DataError: when no query can be held out, or none is left to train on.
    """
    found = database.execute(
        "SELECT qc AS q, min(ticket) AS ticket, count(DISTINCT q) AS members FROM keys GROUP BY qc ORDER BY qc"
    ).fetchnumpy()
    queries, tickets, members = (np.asarray(found[name]) for name in ("q", "ticket", "members"))
    groups = _groups(database, queries)
    sides = deal(groups, tickets, members, sizes_of(int(members.sum()), evaluation, dev))
    needed = [place for place, side in enumerate(SIDES) if side != "evaluation" or evaluation is not None]
    if not all((sides == place).any() for place in needed):
        raise DataError(
            f"{len(queries)} queries cannot be split into train, dev and evaluation with nothing shared between them: "
            f"they form {len(np.unique(groups))} groups that share positives; give more queries, at least three "
            "that share none."
        )
    database.register("dealt", pa.table({"q": queries, "side": sides}))
    names = ", ".join(f"'{name}'" for name in SIDES)
    database.execute(
        f"CREATE TABLE sides AS SELECT DISTINCT keys.q, [{names}][side + 1] AS side "
        "FROM keys JOIN dealt ON qc = dealt.q"
    )
    database.unregister("dealt")


def _groups(database: Database, queries: _Hashes) -> NDArray[np.int32]:
    """The connected component of each query, over near duplicates and over positives that more than one query has."""
    shared = database.execute(
        "SELECT DISTINCT qc AS q, pc AS p FROM keys "
        "SEMI JOIN (SELECT pc FROM keys GROUP BY pc HAVING min(qc) != max(qc)) USING (pc)"
    ).fetchnumpy()
    rows = np.searchsorted(queries, np.asarray(shared["q"]))
    passages, columns = np.unique(np.asarray(shared["p"]), return_inverse=True)
    nodes = len(queries) + len(passages)
    edges = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns + len(queries))), shape=(nodes, nodes))
    labels: NDArray[np.int32] = connected_components(edges, directed=False)[1]
    return np.unique(labels[: len(queries)], return_inverse=True)[1].astype(np.int32)


def _size(queries: int, wanted: float, largest: float) -> int:
    asked = wanted * queries if wanted < 1 else wanted
    return max(1, min(round(asked), int(queries * largest)))


def deal(groups: NDArray[np.int32], order: _Hashes, members: NDArray[np.int64], sizes: Sizes) -> NDArray[np.int8]:
    """Deal groups out: for each query its side, as a place in `SIDES`.

    Args:
        groups: the group of each query, numbered from 0.
        order: a seeded number for each query; a group comes when its smallest number does.
        members: how many queries each of these queries stands for, its near duplicates included.
        sizes: how many queries to hold out.
    """
    total = np.bincount(groups, weights=members).astype(np.int64)
    first = np.full(len(total), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(first, groups, order)
    side_of_group = np.zeros(len(total), dtype=np.int8)
    wanted = [(side, size) for side, size in ((1, sizes.evaluation), (2, sizes.dev)) if size]
    for group in np.argsort(first, kind="stable"):
        if not wanted:
            break
        side, room = wanted[0]
        if total[group] <= room:
            side_of_group[group] = side
            wanted[0] = (side, room - int(total[group]))
            if wanted[0][1] == 0:
                wanted.pop(0)
    return side_of_group[groups]
