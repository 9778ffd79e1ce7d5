"""The digest of a table's content: the same for every row order, file format and number of threads."""

import hashlib
from pathlib import Path

from components.prepare.database import Database, file_literal

_BATCH = 100_000


def content_sha256(database: Database, path: Path) -> str:
    """SHA-256 over the sorted SHA-256 of the rows of a Parquet file of texts, as 64 hexadecimal digits."""
    table = file_literal(path)
    columns = [row[0] for row in database.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()]
    # Lengths go first: moving a character from one column to the next changes the row.
    fields = ", ".join(f"strlen({column}::VARCHAR), ':', {column}" for column in columns)
    rows = database.execute(f"SELECT sha256(concat({fields})) AS h FROM {table} ORDER BY h")
    digest = hashlib.sha256()
    while batch := rows.fetchmany(_BATCH):
        digest.update("".join(row[0] for row in batch).encode("ascii"))
    return digest.hexdigest()
