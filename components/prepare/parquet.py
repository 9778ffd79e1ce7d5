"""Parquet as every dataset version is written: zstd, in row groups that a reader can stream."""

from pathlib import Path

from components.prepare.database import Database, literal

ROW_GROUP = 50_000  # rows; some 15 MB of text each


def write_parquet(database: Database, statement: str, path: Path) -> None:
    """Write what a statement returns, in its order."""
    database.execute(
        f"COPY ({statement}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})"
    )
