"""A BEIR folder as the three Parquet files of an evaluation set; every fault names the user's own file, row, column."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.dataset.beir import BeirFolder, Passage, Query, read_corpus, read_queries
from components.dataset.judgement_check import JudgementCheck
from components.dataset.manifest import CORPUS, QRELS, QUERIES, Rule
from components.dataset.qrels import Judgement, read_qrels
from components.errors import DataError

ROWS_IN_A_GROUP = 50_000
CORPUS_SCHEMA = pa.schema([("passage_id", pa.string()), ("text", pa.string())])
QRELS_SCHEMA = pa.schema([("query_id", pa.string()), ("passage_id", pa.string()), ("relevance", pa.int32())])


def convert_beir(folder: BeirFolder, split: str, output: Path) -> list[Rule]:
    """Write a split of a BEIR folder as ``corpus.parquet``, ``queries.parquet`` (judged ones) and ``qrels.parquet``.

    Published collections have rows that point nowhere and passages that are empty: such passages are dropped, and so
    are the judgements of what is missing or empty. A judgement given twice with the same relevance is kept once.

    Returns:
        What was dropped, by reason.

    Raises:
        DataError: when something is missing, twice there, or more than a twentieth of the judgements cannot be used;
            names file, row and column.
    """
    judgements, repeated = _unique_judgements(folder.judgements(split))
    known, empty = _write_corpus(folder.corpus, output / CORPUS)
    queries = _judged_queries(folder.queries, {judgement.query_id for judgement in judgements.values()})
    check = JudgementCheck(folder, folder.judgements(split))
    kept = check.usable(judgements.values(), known=known, empty=empty, queries=queries)
    judged = {judgement.query_id for judgement in kept}
    _write_queries({key: query for key, query in queries.items() if key in judged}, output / QUERIES)
    _write_qrels(kept, output / QRELS)
    counts = {"empty passages": len(empty), "repeated judgements": repeated}
    return [*(_rule(reason, count) for reason, count in counts.items() if count), *check.rules()]


def _rule(reason: str, count: int) -> Rule:
    return Rule(name=reason.replace(" ", "_"), description=reason, dropped=count)


def _unique_judgements(path: Path) -> tuple[dict[tuple[str, str], Judgement], int]:
    found: dict[tuple[str, str], Judgement] = {}
    repeated = 0
    for judgement in read_qrels(path):
        earlier = found.setdefault((judgement.query_id, judgement.passage_id), judgement)
        if earlier.relevance != judgement.relevance:
            raise DataError(
                f"{path}, row {judgement.row}, column 'score' is {judgement.relevance} where row {earlier.row} judges "
                f"the same query and passage {earlier.relevance}; keep one of them."
            )
        repeated += earlier is not judgement
    if not found:
        raise DataError(f"{path} has no judgement; an evaluation needs at least one row such as 1<TAB>42<TAB>1.")
    return found, repeated


def _write_corpus(source: Path, target: Path) -> tuple[set[str], set[str]]:
    known: set[str] = set()
    empty: set[str] = set()

    def rows() -> Iterator[Passage]:
        for passage in read_corpus(source):
            if passage.passage_id in known or passage.passage_id in empty:
                raise _repeated(source, passage.row, passage.passage_id)
            if passage.text:
                known.add(passage.passage_id)
                yield passage
            else:
                empty.add(passage.passage_id)

    with pq.ParquetWriter(target, CORPUS_SCHEMA, compression="zstd") as writer:
        for group in _groups(rows(), ROWS_IN_A_GROUP):
            columns = [[passage.passage_id for passage in group], [passage.text for passage in group]]
            writer.write_table(pa.table(columns, schema=CORPUS_SCHEMA))
    if not known:
        raise DataError(f"{source} has no passage with a text; an evaluation needs a corpus.")
    return known, empty


def _judged_queries(paths: Iterable[Path], judged: set[str]) -> dict[str, Query]:
    """Return the judged queries of one or several files, which may repeat queries: MS MARCO's small dev set does."""
    queries: dict[str, Query] = {}
    texts: dict[str, str] = {}
    for path in paths:
        seen: set[str] = set()
        for query in read_queries(path):
            if query.query_id in seen or texts.setdefault(query.query_id, query.text) != query.text:
                raise _repeated(path, query.row, query.query_id)
            seen.add(query.query_id)
            if query.query_id not in judged:
                continue
            queries[query.query_id] = query
    return queries


def _write_queries(queries: dict[str, Query], target: Path) -> None:
    names = sorted({name for query in queries.values() for name in query.columns} - {"query_id", "query"})
    columns: dict[str, pa.Array] = {
        "query_id": pa.array(list(queries), pa.string()),
        "query": pa.array([query.text for query in queries.values()], pa.string()),
    }
    for name in names:
        columns[name] = _array([query.columns.get(name) for query in queries.values()])
    pq.write_table(pa.table(columns), target, compression="zstd")


def _write_qrels(judgements: list[Judgement], target: Path) -> None:
    columns = [
        [judgement.query_id for judgement in judgements],
        [judgement.passage_id for judgement in judgements],
        [judgement.relevance for judgement in judgements],
    ]
    pq.write_table(pa.table(columns, schema=QRELS_SCHEMA), target, compression="zstd")


def _array(values: list[Any]) -> pa.Array:
    """Return a column of one type: as it is when all values have the same, else as text."""
    if len({type(value) for value in values if value is not None}) == 1:
        try:
            return pa.array(values)
        except (pa.ArrowInvalid, OverflowError):
            pass
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def _groups(rows: Iterator[Passage], size: int) -> Iterator[list[Passage]]:
    while group := list(islice(rows, size)):
        yield group


def _repeated(path: Path, row: int, value: str) -> DataError:
    return DataError(f"{path}, row {row}, column '_id' is {value!r}, which an earlier row has too; give each its own.")
