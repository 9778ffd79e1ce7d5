"""Files that hold ids where texts belong: triples of ids, which mean something beside their collection alone."""

from pathlib import Path

from components.errors import DataError
from components.prepare.database import Database

_SAMPLE = 2000  # rows
_SHARE = 0.95
#: One word of ASCII with a digit in it: 7067032, doc-17, MED-2421, https://example.com/3.
_IDENTIFIER = "[A-Za-z0-9_.:/#-]*[0-9][A-Za-z0-9_.:/#-]*"


def refuse_ids_as_texts(database: Database, files: list[Path]) -> None:
    """Raise a DataError when nearly all positives, and the queries or the negatives with them, look like ids."""
    looks = ", ".join(
        f"avg(regexp_full_match({column}, '{_IDENTIFIER}')::INT), min({column})"
        for column in ("query", "positive", "negative")
    )
    rows = f"SELECT * FROM raw WHERE positive IS NOT NULL LIMIT {_SAMPLE}"
    found = database.execute(f"SELECT {looks} FROM ({rows})").fetchone()
    if found is None:
        return
    query, _, positive, example, negative, _ = found
    if (positive or 0.0) > _SHARE and max(query or 0.0, negative or 0.0) > _SHARE:
        raise DataError(
            f"{files[0]} holds ids such as {example!r} where texts belong; bring the collection that they point into "
            "in one folder (collection.tsv, queries.tsv, qrels.train.tsv and qidpidtriples.train.tsv, or a BEIR "
            "folder with corpus.jsonl, queries.jsonl and qrels/train.tsv), or write the texts in place of the ids."
        )
