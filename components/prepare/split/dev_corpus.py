"""What the dev queries are searched in while training: passages of the collection, none of them an answer to one."""

from pathlib import Path

from components.dataset.manifest import CORPUS, DEV_CORPUS
from components.prepare.database import Database, file_literal, write_parquet

LARGEST = 4000  # passages; an evaluation during training encodes no more


def write_dev_corpus(database: Database, staged: Path) -> None:
    """Write ``dev_corpus.parquet``: passages of the evaluation corpus, drawn by seed, that no dev query is answered by.

    A checkpoint is chosen by what it finds among thousands of passages, as the gate judges it: among a handful of
    negatives nearly every model is right. Passages alone are taken of the evaluation set, no query and no judgement.
    """
    corpus = file_literal(staged / CORPUS)
    write_parquet(
        database,
        f"SELECT text FROM (SELECT DISTINCT text FROM {corpus}) "
        "ANTI JOIN (SELECT p FROM dev) AS answers ON hash(normal(text)) = answers.p "
        f"ORDER BY seeded(text), text LIMIT {LARGEST}",
        staged / DEV_CORPUS,
    )
