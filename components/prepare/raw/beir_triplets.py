"""Triplets from a BEIR folder: a judged pair of the train split, and a passage that the query is not judged with."""

from pathlib import Path

from components.dataset.beir import BeirFolder
from components.dataset.dropped_share import refuse_large_share
from components.dataset.evaluation_files import convert_beir
from components.dataset.manifest import CORPUS, QRELS, QUERIES, Rule
from components.dataset.text_file import check_whole
from components.prepare.database import Database, count, file_literal, scalar
from components.prepare.raw.readers import create_raw


def load_beir(database: Database, folder: BeirFolder, split: str, seed: int, parts: Path) -> list[Rule]:
    """Fill the table ``raw``: one row for each relevant pair of a split of qrels, with a negative drawn by seed.

    Where the data set comes with triples of ids (MS MARCO), they are the rows. Else the negative is a passage that has
    no judgement above 0 for the query: a random one, which is right most of the time and never hard; mine hard
    negatives and bring your own triplets for more.

    `parts` is a folder to make, for the Parquet files that are read while the database is in use.

    Raises:
        DataError: when the folder is not usable.
    """
    parts.mkdir()
    dropped = convert_beir(folder, split, parts)
    corpus, queries, qrels = (file_literal(parts / name) for name in (CORPUS, QUERIES, QRELS))
    create_raw(database)
    if folder.triples is None:
        _draw_negatives(database, corpus, qrels, seed)
    else:
        _read_triples(database, folder.triples)
    database.execute(
        f"""
        INSERT INTO raw (row, file, line, query_id, query, positive, negative)
        SELECT row_number() OVER (ORDER BY query_id, passage_id, negative_id) AS number, 0, number,
            query_id, query, positive.text, negative.text
        FROM drawn JOIN {queries} USING (query_id)
        JOIN {corpus} AS positive USING (passage_id)
        JOIN {corpus} AS negative ON negative.passage_id = drawn.negative_id
        """
    )
    if folder.triples is not None:
        _refuse_strangers(database, folder)
    expected = scalar(database, f"SELECT count(*) FROM {'triples' if folder.triples else 'relevant'}")
    without = Rule(
        name="no_such_passage",
        description="a judged pair for which no negative was found, or a triple of ids that the data set lacks",
        dropped=expected - count(database, "raw"),
    )
    return [
        without,
        *(
            rule.model_copy(
                update={"name": f"{split}_{rule.name}", "description": f"{rule.description} ({split} split)"}
            )
            for rule in dropped
        ),
    ]


def _refuse_strangers(database: Database, folder: BeirFolder) -> None:
    """Refuse triples of ids that mostly point nowhere, as texts or ids of another collection do."""
    row = database.execute("SELECT * FROM drawn LIMIT 1").fetchone()
    wanted = count(database, "drawn")
    refuse_large_share(
        wanted - count(database, "raw"),
        wanted,
        f"triples of {folder.triples}",
        f"query, positive and negative are ids of {folder.corpus.name} and of judged queries, unlike {row}",
    )


def _draw_negatives(database: Database, corpus: str, qrels: str, seed: int) -> None:
    database.execute(
        "CREATE TEMP TABLE candidates AS "
        f"SELECT row_number() OVER (ORDER BY passage_id) - 1 AS place, passage_id FROM {corpus}"
    )
    # A drawn passage that is relevant after all gives way to the next draw: four draws leave next to none without one.
    database.execute(
        f"""
        CREATE TEMP TABLE relevant AS SELECT query_id, passage_id FROM {qrels} WHERE relevance > 0;
        CREATE TEMP TABLE drawn AS
        WITH draws AS (
            SELECT query_id, passage_id, attempt,
                md5_number_lower(concat_ws(':', {seed}, query_id, passage_id, attempt))
                    % (SELECT count(*) FROM candidates) AS place
            FROM relevant, range(4) AS attempts(attempt)
        )
        SELECT draws.query_id, draws.passage_id, arg_min(candidates.passage_id, attempt) AS negative_id
        FROM draws JOIN candidates USING (place)
        ANTI JOIN relevant ON relevant.query_id = draws.query_id AND relevant.passage_id = candidates.passage_id
        GROUP BY ALL
        """
    )


def _read_triples(database: Database, path: Path) -> None:
    """``drawn`` from ids that were published with the data set; an id that is not in it drops out of the join."""
    check_whole(path)
    database.execute(
        f"""
        CREATE TEMP TABLE triples AS SELECT * FROM read_csv(
            {file_literal(path)}, auto_detect = false, header = false, delim = '\t', quote = '', escape = '',
            columns = {{'query_id': 'VARCHAR', 'passage_id': 'VARCHAR', 'negative_id': 'VARCHAR'}});
        CREATE TEMP TABLE drawn AS SELECT DISTINCT * FROM triples;
        """
    )
