"""Training examples: the triplets of a dataset version, gathered by query and positive."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from components.dataset.duckdb_path import exact_path
from components.dataset.manifest import TRAIN
from components.train.recipes import CHUNK

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_FETCHED = 4096  # rows


class Example(NamedTuple):
    """A query, a passage that answers it, and passages that do not."""

    query: str
    positive: str
    negatives: tuple[str, ...]
    triplets: int = 0  #: of the data that it stands for: so many of the negatives, the first, are the data's own


def read_examples(
    dataset: Path, all_triplets: bool, scratch: Path, *, share: float = 1.0, least: int = 1
) -> Iterator[list[Example]]:
    """Yield the examples of a dataset version in chunks, in the order in which the dataset was drawn.

    Triplets that share query and positive become one example: a query and a passage are encoded once for all of their
    negatives. Memory does not grow with the number of triplets: what is sorted spills to disk.

    Args:
        dataset: a dataset version; nothing but ``train.parquet`` is read.
        all_triplets: or the first of every query alone.
        scratch: a folder to spill into.
        share: of the examples that are read, the first ones: the order is random already.
        least: examples that are read all the same, when there are so many.
    """
    with _examples_database(dataset / TRAIN, all_triplets, scratch) as database:
        (total,) = database.execute("SELECT count(DISTINCT example) FROM places").fetchall()[0]
        examples = islice(_examples(database, dataset / TRAIN), max(least, math.ceil(share * total)))
        while chunk := list(islice(examples, CHUNK)):
            yield chunk


@contextmanager
def _examples_database(path: Path, all_triplets: bool, scratch: Path) -> Iterator["DuckDBPyConnection"]:
    """Open a database that knows which row of the file belongs to which example."""
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": "256MB",
        "threads": 1,  # a second one would need as much again
        "temp_directory": str(scratch / "spill"),
        "autoinstall_known_extensions": False,
    }
    with duckdb.connect(config=settings) as database:
        # Examples are formed by numbers alone; the texts of millions of triplets would not fit in memory.
        database.execute(_KEYS, {"path": exact_path(path)})
        database.execute(_ALL if all_triplets else _FIRST)
        yield database


def _examples(database: "DuckDBPyConnection", path: Path) -> Iterator[Example]:
    found = database.execute(_TEXTS, {"path": exact_path(path)})
    rows = chain.from_iterable(iter(lambda: found.fetchmany(_FETCHED), []))
    for _, triplets in groupby(rows, key=itemgetter(0)):
        members = list(triplets)
        yield Example(members[0][1], members[0][2], tuple(member[3] for member in members), len(members))


_KEYS = """
CREATE TABLE keys AS
SELECT file_row_number AS row, hash(query_id) AS q, hash(positive) AS p
FROM read_parquet($path, file_row_number = true)
"""
_ALL = "CREATE TABLE places AS SELECT row, min(row) OVER (PARTITION BY q, p) AS example FROM keys"
_FIRST = "CREATE TABLE places AS SELECT min(row) AS row, min(row) AS example FROM keys GROUP BY q"
_TEXTS = """
SELECT example, query, positive, negative
FROM (SELECT file_row_number AS row, * FROM read_parquet($path, file_row_number = true)) JOIN places USING (row)
ORDER BY example, row
"""


def with_negatives(examples: Iterable[Example], count: int) -> Iterator[Example]:
    """Yield the same examples with exactly `count` negatives each: those with more become several, none is left out.

    Where an example has too few, its own are repeated: repeated passages change nothing but the weight of one.
    """
    for example in examples:
        for start in range(0, len(example.negatives), count):
            taken = example.negatives[start : start + count]
            repeats = -(-count // len(taken))
            own = min(max(0, example.triplets - start), count)
            yield example._replace(negatives=(taken * repeats)[:count], triplets=own)
