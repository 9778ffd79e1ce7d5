"""Held-out queries as an evaluation set: their positives are judged relevant, other passages are distractors."""

from pathlib import Path

from components.dataset.manifest import CORPUS, QRELS, QUERIES
from components.prepare.database import Database, count, identifier, literal, scalar, write_parquet

# Passages are named by content, so that the same passage has the same id in every version of a dataset.
_PASSAGE_ID = "left(sha256(normal(text)), 16)"


def write_held_out(database: Database, output: Path, max_corpus: int, training_passages: bool) -> None:
    """Write ``corpus.parquet``, ``queries.parquet`` and ``qrels.parquet`` from the queries on the evaluation side.

    All positives of a held-out query are judged with relevance 1, whatever `triplets_per_query` is. Distractors are,
    as far as `max_corpus` allows, the negatives of held-out queries, and then any other passages, drawn by seed.
    A passage that is a positive in training or dev is no distractor unless `training_passages` says so.
    """
    _judge(database)
    _choose_passages(database, max_corpus, training_passages)
    write_parquet(
        database,
        f"SELECT {_PASSAGE_ID} AS passage_id, text FROM passages ORDER BY passage_id",
        output / CORPUS,
    )
    write_parquet(
        database,
        f"SELECT raw.query_id, tidy(raw.query) AS query{_further(database)} FROM judged JOIN raw USING (row) "
        "ORDER BY query_id",
        output / QUERIES,
    )
    write_parquet(
        database,
        f"SELECT query_id, {_PASSAGE_ID} AS passage_id, 1::INTEGER AS relevance FROM "
        "(SELECT raw.query_id, text FROM judged JOIN raw USING (row) "
        "JOIN (SELECT DISTINCT q, p FROM held_out) USING (q) JOIN passages ON p = h) ORDER BY ALL",
        output / QRELS,
    )


def _further(database: Database) -> str:
    """Return the columns that the user's rows carry beside the triplet, as texts."""
    names = database.execute(
        "SELECT DISTINCT unnest(json_keys(columns)) AS name FROM judged JOIN raw USING (row) "
        "WHERE columns IS NOT NULL ORDER BY name"
    ).fetchall()
    taken = {"query_id", "query"}
    kept = []
    for (name,) in names:
        if name.casefold() not in taken:  # DuckDB takes names that differ in letter case alone for one
            taken.add(name.casefold())
            kept.append(f", json_extract_string(columns, {literal(_path(name))}) AS {identifier(name)}")
    return "".join(kept)


def _path(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'$."{escaped}"'


def _judge(database: Database) -> None:
    """``held_out``: the rows of held-out queries; ``judged(q, row)``: for each query text one row to take it from.

    Two ids with one query text are one query here, under the id that the seed draws.
    """
    database.execute(
        "CREATE TEMP TABLE held_out AS SELECT keys.* FROM keys JOIN sides USING (q) WHERE side = 'evaluation'"
    )
    database.execute("CREATE TEMP TABLE judged AS SELECT q, arg_min(row, draw) AS row FROM held_out GROUP BY q")


def _choose_passages(database: Database, max_corpus: int, training_passages: bool) -> None:
    """``passages(h, text)``: the corpus, chosen by rank (0 judged, 1 beside them, 2 the rest), then by seed.

    Only narrow rows are sorted: `place` is twice the row, plus one for its negative; `turn` is rank and draw in one.
    """
    taken = "" if training_passages else "ANTI JOIN (SELECT p AS h FROM train UNION ALL SELECT p FROM dev) USING (h)"
    candidates = f"""
        SELECT p AS h, draw >> 2 AS turn, 2 * row AS place FROM held_out
        UNION ALL
        SELECT h, turn, place FROM (
            SELECT n AS h, (1::UBIGINT << 62) | (draw >> 2) AS turn, 2 * row + 1 AS place FROM held_out
            UNION ALL SELECT n, (2::UBIGINT << 62) | (draw >> 2), 2 * row + 1 FROM keys
            UNION ALL SELECT p, (2::UBIGINT << 62) | (draw >> 2), 2 * row FROM keys
        ) {taken}
    """
    judged = scalar(database, "SELECT count(DISTINCT p) FROM held_out")
    wanted = max(max_corpus, judged) if max_corpus else 0
    _first_places(database, candidates, wanted)
    limit = f"LIMIT {wanted}" if wanted else ""
    database.execute(
        f"""
        CREATE TEMP TABLE passages AS
        SELECT h, tidy(if(place % 2 = 0, positive, negative)) AS text
        FROM (SELECT h, place FROM places ORDER BY turn, h {limit}) JOIN raw ON row = place // 2
        """
    )


def _first_places(database: Database, candidates: str, wanted: int) -> None:
    """``places(h, turn, place)``: the first turn of each passage, of so many passages at least (of all for 0).

    The same passage may stand in many rows. Grouping all of them would take memory in proportion to the data; the rows
    whose turn comes first are found in passing, and are taken again, four times as many, if they hold too few passages.
    """
    rows = 4 * wanted
    while True:
        limit = f"ORDER BY turn, h, place LIMIT {rows}" if wanted else ""
        database.execute(
            "CREATE OR REPLACE TEMP TABLE places AS SELECT h, min(turn) AS turn, arg_min(place, turn) AS place, "
            f"count(*) AS copies FROM (SELECT * FROM ({candidates}) {limit}) GROUP BY h"
        )
        taken = scalar(database, "SELECT sum(copies) FROM places")
        if not wanted or taken < rows or count(database, "places") >= wanted:
            return
        rows *= 4
