"""Queries that a language model wrote for passages of the collection: further training triplets, never judged by.

Where labels are few they show a training more of the collection than the labelled passages. What a generator writes is
no judgement: it is marked as generated in ids and profile, and stays out of dev and evaluation.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.dataset.manifest import CORPUS, QRELS, QUERIES
from components.machine.digest import directory_files, tree_sha256
from components.model.generator import QueryGenerator, generator_directory
from components.prepare.database import Database, count, file_literal
from components.prepare.filters.near_duplicates import find_alike
from components.prepare.options import PrepareOptions
from components.prepare.raw.data import RawData, parts_of
from components.stage import tell

_LEAST_CHARACTERS = 20  #: of a passage: about less there is next to nothing to ask
_LEAST_WORDS = 2  #: of a query
_EVERY = 5.0  # seconds between two lines
_SHOWN = 5

_KINDS = {
    "empty": f"query_words < {_LEAST_WORDS}",
    "asked": "q IN (SELECT h FROM asked_already) OR cluster IN (SELECT cluster FROM asked_already WHERE cluster "
    "IS NOT NULL)",
    "repeated": "number != first_of_cluster",
}


def create_generated(database: Database) -> None:
    """Make the table ``generated(number, query, positive, negative)``, empty as it is without a generator."""
    database.execute("CREATE TABLE generated (number BIGINT, query VARCHAR, positive VARCHAR, negative VARCHAR)")


def generate(
    database: Database, raw: RawData, staged: Path, options: PrepareOptions, *, may_share: bool, folds: int
) -> dict[str, Any]:
    """Fill ``generated`` with queries for passages that the seed draws; returns what came of it, for the manifest.

    A query that is, wholly or nearly, one of the data's is left out, whether it is of training, dev or the evaluation;
    of those that are alike one stays. The negative is the passage of another query.

    Args:
        database: with ``train``, ``dev`` and ``raw``.
        raw: where the passages are: its collection, or the texts of its training rows.
        staged: the dataset version, whose evaluation set is written.
        options: with a query generator.
        may_share: whether training may have a passage that answers an evaluation query.
        folds: of a cross-validation; 0 for none.

    Raises:
        ModelError: when the generator cannot be had or opened.
    """
    directory = generator_directory(options.query_generator)
    _exclude(database, raw, staged, options, may_share=may_share, folds=folds)
    passages = _draw(database, raw, staged, options)
    rows = _write(QueryGenerator(directory), passages, options)
    dropped = _sift(database, rows, staged, options)
    kept = count(database, "generated")
    tell("prepare", f"{kept:,} generated queries for {len(passages):,} passages are trained on as well{_doubt(kept)}")
    examples = database.execute(f"SELECT query, positive FROM generated ORDER BY number LIMIT {_SHOWN}").fetchall()
    return {
        "generator": options.query_generator,
        "generator_sha256": tree_sha256(directory_files(directory)),
        "passages": len(passages),
        "written": len(rows),
        "kept": kept,
        "dropped": dropped,
        "examples": [{"query": query, "passage": passage} for query, passage in examples],
    }


def _doubt(kept: int) -> str:
    if kept:
        return ""
    return (
        f": no passage of {_LEAST_CHARACTERS} characters or more may be trained on, or all that was written is left "
        "out; see the profile"
    )


def _exclude(
    database: Database, raw: RawData, staged: Path, options: PrepareOptions, *, may_share: bool, folds: int
) -> None:
    """``excluded(h)``: passages that training must not have."""
    corpus, qrels = (file_literal(staged / name) for name in (CORPUS, QRELS))
    database.execute("CREATE TEMP TABLE excluded (h UBIGINT)")
    if not may_share:
        database.execute(
            f"INSERT INTO excluded SELECT hash(normal(text)) FROM {corpus} "
            f"SEMI JOIN (SELECT passage_id FROM {qrels} WHERE relevance > 0) USING (passage_id) "
            "UNION ALL SELECT p FROM dev"
        )
    if raw.beir is None and not folds and not options.training_passages_in_corpus:
        database.execute(f"INSERT INTO excluded SELECT hash(normal(text)) FROM {corpus}")


def _draw(database: Database, raw: RawData, staged: Path, options: PrepareOptions) -> list[str]:
    """Return passages in an order that the seed draws: as many as make the queries that are wanted."""
    trained = "FROM raw SEMI JOIN train USING (row)"
    texts = f"SELECT positive AS text {trained} UNION SELECT negative {trained}"
    if raw.beir is not None:
        texts = f"SELECT text FROM {file_literal(parts_of(staged) / CORPUS)}"
    wanted = max(1, options.generated_queries // options.queries_per_passage)
    # Twice as many before the same text is looked for: that would sort a whole collection.
    some = (
        f"SELECT tidy(text) AS text FROM ({texts}) WHERE length(text) BETWEEN {_LEAST_CHARACTERS} AND "
        f"{options.max_characters} AND hash(normal(text)) NOT IN (SELECT h FROM excluded) "
        f"ORDER BY seeded(text), text LIMIT {2 * wanted}"
    )
    rows = database.execute(f"SELECT DISTINCT text FROM ({some}) ORDER BY seeded(text), text LIMIT {wanted}").fetchall()
    return [text for (text,) in rows]


def _write(generator: QueryGenerator, passages: Sequence[str], options: PrepareOptions) -> list[tuple[str, str, str]]:
    """Return rows of query, positive and negative."""
    started = told = time.monotonic()
    rows: list[tuple[str, str, str]] = []
    done = 0
    for batch in generator.queries(passages, options.queries_per_passage, options.seed):
        for place, queries in enumerate(batch, start=done):
            following = passages[(place + 1) % len(passages)]
            rows += [(query, passages[place], following) for query in queries]
        done += len(batch)
        if (now := time.monotonic()) - told > _EVERY:
            told, rate = now, done / (now - started)
            left = (len(passages) - done) / rate
            tell("prepare", f"generating queries: {done:,} of {len(passages):,} passages  {left:.0f} s left")
    return rows


def _sift(
    database: Database, rows: Sequence[tuple[str, str, str]], staged: Path, options: PrepareOptions
) -> dict[str, int]:
    """Fill ``generated`` with the rows that stay; returns how many do not, by reason."""
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    texts = {
        name: pa.array(column, pa.string())
        for name, column in zip(("query", "positive", "negative"), columns, strict=True)
    }
    database.register("written", pa.table({"number": pa.array(range(len(rows)), pa.int64()), **texts}))
    database.execute("CREATE TABLE wrote AS SELECT number, tidy(query) AS query, positive, negative FROM written")
    database.unregister("written")
    _cluster(database, staged, options.near_duplicates)
    dropped = {}
    for kind, condition in _KINDS.items():
        found = count(database, f"sifted WHERE {condition}")
        database.execute(f"DELETE FROM sifted WHERE {condition}")
        dropped[kind] = found
    database.execute(
        "INSERT INTO generated SELECT number, query, positive, negative FROM wrote SEMI JOIN sifted USING (number) "
        "WHERE positive != negative"
    )
    return dropped


def _cluster(database: Database, staged: Path, threshold: float) -> None:
    """``sifted``: what was written, with its cluster of near duplicates; ``asked_already``: the data's own queries."""
    asked = (
        f"SELECT normal(query) AS text FROM {file_literal(staged / QUERIES)} "
        "UNION SELECT normal(query) FROM raw SEMI JOIN keys USING (row)"
    )
    written = "SELECT normal(query) AS text FROM wrote"
    find_alike(
        database,
        f"SELECT hash(text) AS h, any_value(text) AS text FROM ({asked} UNION {written}) GROUP BY h",
        "alike_generated",
        threshold,
    )
    database.execute(
        f"""
        CREATE TEMP TABLE asked_already AS
            SELECT hash(text) AS h, cluster FROM ({asked}) LEFT JOIN alike_generated ON hash(text) = h;
        CREATE TEMP TABLE sifted AS
            SELECT number, hash(normal(query)) AS q, cluster, len(words(normal(query))) AS query_words,
                min(number) OVER (PARTITION BY coalesce(cluster, hash(normal(query)))) AS first_of_cluster
            FROM wrote LEFT JOIN alike_generated ON hash(normal(query)) = h
        """
    )
