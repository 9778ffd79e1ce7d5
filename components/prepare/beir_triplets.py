"""Triplets from a BEIR folder: a judged pair of the train split, and a passage that the query is not judged with."""

from pathlib import Path

from components.beir import BeirFolder
from components.dataset import CORPUS, QRELS, QUERIES, Rule
from components.evaluation_parts import convert_beir
from components.prepare.database import Database, count, file_literal, scalar
from components.prepare.readers import create_raw

TRAIN_SPLIT = "train"


def load_beir(database: Database, folder: BeirFolder, seed: int, parts: Path) -> list[Rule]:
    """Fill the table ``raw``: one row for each relevant pair of ``qrels/train.tsv``, with a negative drawn by seed.

    Where the data set comes with triples of ids (MS MARCO), they are the rows. Else the negative is a passage that has
    no judgement above 0 for the query: a random one, which is right most of the time and never hard; mine hard
    negatives and bring triplets of your own for more.

    `parts` is a folder to make, for the Parquet files that are read while the database is in use.

    Raises:
        DataError: when the folder has no train split or is not usable.
    """
    folder.judgements(TRAIN_SPLIT)
    parts.mkdir()
    dropped = convert_beir(folder, TRAIN_SPLIT, parts)
    corpus, queries, qrels = (file_literal(parts / name) for name in (CORPUS, QUERIES, QRELS))
    create_raw(database)
    if folder.triples is None:
        _draw_negatives(database, corpus, qrels, seed)
    else:
        _read_triples(database, folder.triples)
    database.execute(
        f"""
        INSERT INTO raw (row, file, query_id, query, positive, negative)
        SELECT row_number() OVER (ORDER BY query_id, passage_id, negative_id), 0,
            query_id, query, positive.text, negative.text
        FROM drawn JOIN {queries} USING (query_id)
        JOIN {corpus} AS positive USING (passage_id)
        JOIN {corpus} AS negative ON negative.passage_id = drawn.negative_id
        """
    )
    expected = scalar(database, f"SELECT count(*) FROM {'triples' if folder.triples else 'relevant'}")
    without = Rule(
        name="no_such_passage",
        description="a judged pair for which no negative was found, or a triple of ids that the data set lacks",
        dropped=expected - count(database, "raw"),
    )
    return [
        without,
        *(
            Rule(name=f"train_{reason.replace(' ', '_')}", description=f"{reason} (train split)", dropped=number)
            for reason, number in dropped.items()
        ),
    ]


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
    database.execute(
        f"""
        CREATE TEMP TABLE triples AS SELECT * FROM read_csv(
            {file_literal(path)}, auto_detect = false, header = false, delim = '\t', quote = '', escape = '',
            columns = {{'query_id': 'VARCHAR', 'passage_id': 'VARCHAR', 'negative_id': 'VARCHAR'}});
        CREATE TEMP TABLE drawn AS SELECT DISTINCT * FROM triples;
        """
    )
