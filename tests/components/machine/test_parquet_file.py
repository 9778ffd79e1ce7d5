"""A Parquet file is read in the memory of a row group, however many it has."""

import random

import pyarrow as pa
import pyarrow.parquet as pq

from components.machine.parquet_file import open_parquet

ROWS, GROUPS = 1000, 20


def test_open_parquet_of_many_row_groups_holds_one_at_a_time(tmp_path):
    path, draw = tmp_path / "texts.parquet", random.Random(7)
    values = pa.array([draw.randbytes(400) for _ in range(ROWS * GROUPS)])  # nothing that could be compressed
    pq.write_table(pa.table({"text": values}), path, row_group_size=ROWS, use_dictionary=False)
    group = path.stat().st_size / GROUPS
    before, held, rows = pa.total_allocated_bytes(), 0, 0
    with open_parquet(path) as file:
        for batch in file.iter_batches(ROWS):
            rows += len(batch)
            held = max(held, pa.total_allocated_bytes() - before)
    assert rows == ROWS * GROUPS
    assert group / 2 < held < 4 * group  # a chunk as it lies in the file, and as it is read
