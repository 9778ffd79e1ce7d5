"""An evaluation set: corpus, queries and graded qrels, opened from a dataset version or from a BEIR folder.

Either way the parts are Parquet files that are read in place and in pieces, so that a corpus need not fit in memory.
"""

import tempfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from components.dataset.beir import BeirFolder
from components.dataset.duckdb_path import exact_path
from components.dataset.evaluation_files import convert_beir
from components.dataset.manifest import CORPUS, DEFAULT_SPLIT, MANIFEST, QRELS, QUERIES, DatasetManifest
from components.errors import DataError
from components.machine.digest import records_sha256
from components.machine.parquet_file import open_parquet

_PARTS = {
    CORPUS: ("passage_id", "text"),
    QUERIES: ("query_id", "query"),
    QRELS: ("query_id", "passage_id", "relevance"),
}
_SORT_MEMORY = "1GB"


class _Fault(NamedTuple):
    """One way in which an evaluation set can be broken: a statement that returns (row, value) of its rows."""

    part: str
    column: str
    statement: str
    message: str


class EvaluationSet:
    """A corpus, the judged queries, and their graded relevance judgements; texts may lie on disk only.

    Attributes:
        name: what to call it in a report.
        queries: text by query_id, judged queries alone, sorted by id.
        qrels: relevance by query_id and passage_id.
        query_columns: what else the user's queries carry: ``{column: {query_id: value}}``.
        corpus_size: passages in the corpus.
        dropped: rows left out by reason, such as empty passages and their judgements.
    """

    def __init__(self, directory: Path, name: str, dropped: dict[str, int], keep: object = None) -> None:
        self.name = name
        self.dropped = dropped
        self._directory = directory
        self._keep = keep  # a temporary directory lives as long as what refers to it
        self._database = duckdb.connect(config={"memory_limit": _SORT_MEMORY, "preserve_insertion_order": True})
        self._check()
        self.qrels = self._read_qrels()
        self.queries, self.query_columns = self._read_queries()
        self.corpus_size: int = pq.read_metadata(directory / CORPUS).num_rows

    def passages(self, batch_size: int = 4096) -> Iterator[list[tuple[str, str]]]:
        """Yield the corpus in stored order, in lists of at most `batch_size` pairs (passage_id, text)."""
        with open_parquet(self._directory / CORPUS) as file:
            for batch in file.iter_batches(batch_size, columns=["passage_id", "text"]):
                ids, texts = batch.columns
                yield list(zip(ids.to_pylist(), texts.to_pylist(), strict=True))

    def texts(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the texts of some passages by id; ids that the corpus lacks are left out."""
        wanted = sorted(set(ids))
        statement = f"SELECT passage_id, text FROM {self._table(CORPUS)} WHERE passage_id IN (SELECT unnest($ids))"
        return dict(self._database.cursor().execute(statement, {"ids": wanted}).fetchall()) if wanted else {}

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the content of corpus, judged queries and qrels, the same for every format and row order."""
        return records_sha256(self._records())

    def _records(self) -> Iterator[str]:
        for part, columns in _PARTS.items():
            yield part
            # A relevance of 1 and one of 1.0 say the same.
            names = ["relevance::INTEGER" if column == "relevance" else column for column in columns]
            listed = ", ".join(f"{name}::VARCHAR" for name in names)
            judged = f"WHERE query_id IN (SELECT query_id FROM {self._table(QRELS)})" if part == QUERIES else ""
            order = ", ".join(str(place) for place in range(1, len(columns) + 1))
            result = self._database.cursor().execute(
                f"SELECT {listed} FROM {self._table(part)} {judged} ORDER BY {order}"
            )
            while rows := result.fetchmany(10_000):
                for row in rows:
                    yield from row

    def _table(self, part: str) -> str:
        path = exact_path(self._directory / part).replace("'", "''")
        return f"read_parquet('{path}', file_row_number = true)"

    def _check(self) -> None:
        for part, columns in _PARTS.items():
            _check_columns(self._directory / part, columns)
        for fault in _faults({part: self._table(part) for part in _PARTS}):
            found = self._database.cursor().execute(fault.statement + " LIMIT 1").fetchone()
            if found is not None:
                row, value = found
                where = f"{self._directory / fault.part}, row {row + 1}, column {fault.column!r}"
                raise DataError(f"{where} is {value!r}: {fault.message}.")

    def _read_qrels(self) -> dict[str, dict[str, int]]:
        table = _read_whole(self._directory / QRELS, _PARTS[QRELS])
        qrels: dict[str, dict[str, int]] = {}
        for query_id, passage_id, relevance in zip(*(column.to_pylist() for column in table.columns), strict=True):
            qrels.setdefault(query_id, {})[passage_id] = int(relevance)
        if not qrels:
            raise DataError(f"{self._directory / QRELS} has no judgement; an evaluation needs at least one.")
        return qrels

    def _read_queries(self) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
        rows = _read_whole(self._directory / QUERIES).to_pylist()
        judged = sorted(
            (row for row in rows if row["query_id"] in self.qrels), key=lambda row: cast(str, row["query_id"])
        )
        names = [name for name in (rows[0] if rows else {}) if name not in _PARTS[QUERIES]]
        columns = {name: {row["query_id"]: row[name] for row in judged if row[name] is not None} for name in names}
        return {row["query_id"]: row["query"] for row in judged}, columns


def open_evaluation_set(directory: Path, split: str = DEFAULT_SPLIT) -> EvaluationSet:
    """Open the evaluation set in a dataset version or in a BEIR folder.

    Args:
        directory: a dataset version that `prepare` made, or a folder with ``corpus.jsonl``, ``queries.jsonl`` and
            ``qrels/*.tsv`` (each also ``.gz`` or ``.zst``).
        split: which qrels of a BEIR folder; a dataset version has one evaluation set only.

    Raises:
        DataError: when the directory is neither, or its content is not usable; names file, row and column.
    """
    if not directory.is_dir():
        raise DataError(f"There is no folder {directory}; give a dataset version or a BEIR folder.")
    if (directory / CORPUS).is_file():
        opened = EvaluationSet(directory, directory.resolve().name, {})
        _check_manifest(directory, opened)
        return opened
    folder = BeirFolder.find(directory)
    if folder is None:
        raise DataError(
            f"{directory} holds neither a dataset version ({CORPUS}) nor a BEIR folder (corpus.jsonl, queries.jsonl, "
            "qrels/test.tsv); make a dataset version with `ranklift prepare URI -o DIR`."
        )
    parts = tempfile.TemporaryDirectory(prefix="ranklift-beir-")
    dropped = {rule.description: rule.dropped for rule in convert_beir(folder, split, Path(parts.name))}
    return EvaluationSet(Path(parts.name), f"{directory.resolve().name}/{split}", dropped, keep=parts)


def _check_manifest(directory: Path, opened: EvaluationSet) -> None:
    if not (directory / MANIFEST).is_file():
        return
    expected = DatasetManifest.of(directory).evaluation_digest
    if opened.digest != expected:
        raise DataError(
            f"{directory} is damaged: the digest of its evaluation set is {opened.digest[:12]}… where {MANIFEST} says "
            f"{expected[:12]}…; make the dataset version again or download it again."
        )


def _read_whole(path: Path, columns: Sequence[str] = ()) -> pa.Table:
    """Return a file's columns; those that are named in that order, or all.

    `pq.read_table` would import pandas, which takes as long as an evaluation of small data.
    """
    with open_parquet(path) as file:
        return file.read(columns).select(columns) if columns else file.read()


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    if not path.is_file():
        raise DataError(f"There is no {path.name} in {path.parent}; make the dataset version again.")
    try:
        schema = pq.read_schema(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} is not a readable Parquet file ({error}); write it again or download it again."
        ) from error
    for column in columns:
        if column not in schema.names:
            raise DataError(f"{path} has no column {column!r}; it has {', '.join(schema.names)}: add it or rename one.")
        kind = str(schema.field(column).type)
        if column != "relevance" and "string" not in kind and kind != "null":
            raise DataError(f"{path}, column {column!r} holds {kind} and not text; convert it to strings.")


def _faults(tables: dict[str, str]) -> Iterator[_Fault]:
    corpus, queries, qrels = tables[CORPUS], tables[QUERIES], tables[QRELS]
    for part, column in ((CORPUS, "passage_id"), (QUERIES, "query_id")):
        table = tables[part]
        yield _Fault(
            part, column,
            f"SELECT file_row_number, {column} FROM {table} WHERE {column} IS NULL OR trim({column}) = ''",
            "every row needs an id",
        )  # fmt: skip
        # The second of two rows is the one to name. A join on duplicates alone keeps the memory small.
        yield _Fault(
            part, column,
            f"SELECT max(file_row_number), {column} FROM {table} GROUP BY {column} HAVING count(*) > 1 ORDER BY 1",
            "an earlier row has the same id; give each row its own",
        )  # fmt: skip
    for part, column in ((CORPUS, "text"), (QUERIES, "query")):
        yield _Fault(
            part, column,
            f"SELECT file_row_number, {column} FROM {tables[part]} WHERE {column} IS NULL OR trim({column}) = ''",
            "the text is empty; write one or remove the row",
        )  # fmt: skip
    for part, key in ((queries, "query_id"), (corpus, "passage_id")):
        name = QUERIES if part is queries else CORPUS
        yield _Fault(
            QRELS, key,
            f"SELECT file_row_number, {key} FROM {qrels} ANTI JOIN (SELECT {key} FROM {part}) USING ({key}) ORDER BY 1",
            f"{name} has no such id; remove the row or add what it points to",
        )  # fmt: skip
    yield _Fault(
        QRELS, "relevance",
        f"SELECT file_row_number, relevance FROM {qrels} WHERE try_cast(relevance AS INTEGER) IS NULL "
        "OR try_cast(relevance AS DOUBLE) != try_cast(relevance AS INTEGER)",
        "a relevance is an integer such as 0, 1 or 2",
    )  # fmt: skip
    yield _Fault(
        QRELS, "passage_id",
        f"SELECT max(file_row_number), passage_id FROM {qrels} GROUP BY query_id, passage_id HAVING count(*) > 1",
        "an earlier row judges the same query and passage; keep one",
    )  # fmt: skip
