"""Parquet files that are larger than memory, read a row group at a time."""

from pathlib import Path

import pyarrow.parquet as pq


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file whose batches are read one after the other: memory is that of a row group.

    Close it, or use it in a ``with`` statement.

    Raises:
        OSError: when it cannot be read.
        ValueError: when it is no Parquet file.
    """
    # Newer releases of pyarrow read ahead unless told otherwise, and hold what they read until the file is closed: in
    # the end the whole file.
    return pq.ParquetFile(path, pre_buffer=False)
