"""Held-out queries of a whole collection: its own judgements with their grades, against its own passages."""

from pathlib import Path

from components.dataset.manifest import CORPUS, QRELS, QUERIES
from components.prepare.database import Database, file_literal, write_parquet


def write_held_out_collection(database: Database, parts: Path, output: Path, max_corpus: int) -> None:
    """Write ``corpus.parquet``, ``queries.parquet`` and ``qrels.parquet`` from the queries on the evaluation side.

    Args:
        database: with ``sides``.
        parts: the folder with the collection's three Parquet files.
        output: the dataset version.
        max_corpus: passages in the corpus, those that are judged first and others drawn by seed; 0 for all.
    """
    corpus, queries, qrels = (file_literal(parts / name) for name in (CORPUS, QUERIES, QRELS))
    database.execute(
        f"CREATE TEMP TABLE asked_of_collection AS SELECT query_id FROM {queries} "
        "SEMI JOIN (SELECT q FROM sides WHERE side = 'evaluation') AS held ON hash(normal(query)) = held.q"
    )
    write_parquet(
        database,
        f"SELECT * REPLACE (tidy(query) AS query) FROM {queries} SEMI JOIN asked_of_collection USING (query_id) "
        "ORDER BY query_id",
        output / QUERIES,
    )
    judgements = f"SELECT * FROM {qrels} SEMI JOIN asked_of_collection USING (query_id)"
    write_parquet(database, f"{judgements} ORDER BY query_id, passage_id", output / QRELS)
    write_parquet(database, _passages(corpus, judgements, max_corpus), output / CORPUS)


def _passages(corpus: str, judgements: str, max_corpus: int) -> str:
    """Return the passages, by id; a judged one is in whatever the limit is, since the judgements point to it."""
    if not max_corpus:
        return f"SELECT passage_id, text FROM {corpus} ORDER BY passage_id"
    ranked = (
        "SELECT passage_id, text, judged.passage_id IS NOT NULL AS is_judged, "
        "row_number() OVER (ORDER BY judged.passage_id IS NULL, seeded(passage_id), passage_id) AS turn "
        f"FROM {corpus} LEFT JOIN (SELECT DISTINCT passage_id FROM ({judgements})) AS judged USING (passage_id)"
    )
    return f"SELECT passage_id, text FROM ({ranked}) WHERE is_judged OR turn <= {max_corpus} ORDER BY passage_id"
