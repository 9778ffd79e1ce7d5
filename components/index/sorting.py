"""Rows in ascending order of their ids, in bounded memory: sorted runs on disk, merged as they are read."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

_RUN = 32 << 20  # bytes of rows that are sorted in memory at once, by the estimate of `_size`
_PIECE = 64 << 10  # bytes of a run that are read at once: every run that is merged holds as much
_FAN_IN = 64  # runs that are merged at once
_OVERHEAD = 400  # bytes that Python spends on a row besides its texts
_COLUMNS = ("passage_id", "digest", "text", "place")
_SCHEMA = pa.schema([(name, pa.large_binary()) for name in _COLUMNS])


class Row(NamedTuple):
    """A passage on its way into an index. Bytes are UTF-8, whose order is that of an index."""

    passage_id: bytes
    digest: bytes  #: SHA-256 of the text
    text: bytes
    place: bytes  #: where it stands, for an error; a path in it may be no UTF-8


def sorted_rows(rows: Iterable[Row], scratch: Path) -> Iterator[Row]:
    """Yield rows in ascending order of their ids; rows of one id stay in the order in which they came.

    Args:
        rows: in any order.
        scratch: an existing folder for the runs, with room for all rows twice.
    """
    runs = [_write(run, scratch / f"run-0-{number}") for number, run in enumerate(_runs(rows))]
    level = 0
    while len(runs) > _FAN_IN:
        level += 1
        groups = [runs[start : start + _FAN_IN] for start in range(0, len(runs), _FAN_IN)]
        runs = [_write(_merged(group), scratch / f"run-{level}-{number}") for number, group in enumerate(groups)]
    return _merged(runs)


def binary_array(values: Sequence[bytes]) -> pa.LargeBinaryArray:
    """Return values as Arrow keeps them; `pa.array` would import pandas for it, where that is installed."""
    ends = np.cumsum([0, *map(len, values)], dtype=np.int64)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(values))]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(values), buffers)


def _runs(rows: Iterable[Row]) -> Iterator[list[Row]]:
    for run in _groups(rows, _RUN):
        run.sort(key=itemgetter(0))
        yield run


def _groups(rows: Iterable[Row], limit: int) -> Iterator[list[Row]]:
    """Yield rows in groups of about so many bytes."""
    group: list[Row] = []
    size = 0
    for row in rows:
        group.append(row)
        size += _OVERHEAD + len(row.passage_id) + len(row.text) + len(row.place)
        if size >= limit:
            yield group
            group, size = [], 0
    if group:
        yield group


def _write(rows: Iterable[Row], path: Path) -> Path:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, _SCHEMA) as writer:
        for group in _groups(rows, _PIECE):
            columns = [binary_array(column) for column in zip(*group, strict=True)]
            writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))
    return path


def _merged(runs: list[Path]) -> Iterator[Row]:
    """Yield the rows of some runs in order, and remove the runs."""
    yield from heapq.merge(*(_read(run) for run in runs), key=itemgetter(0))
    for run in runs:
        run.unlink()


def _read(path: Path) -> Iterator[Row]:
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
        for batch in reader:
            yield from map(Row, *(column.to_pylist() for column in batch.columns))
