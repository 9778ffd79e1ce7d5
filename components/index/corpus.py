"""A corpus in the order of an index: ids ascending, each once, with the hash of its text; sorted on disk."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.errors import DataError
from components.index.known import KnownTexts
from components.index.passages import Passage
from components.index.sorting import Row, binary_array, sorted_rows
from components.machine.parquet_file import open_parquet
from components.search.shard import Hashes

_ROWS = 16_384  # in a row group: a shard of the usual size is read without the texts of another one
_SCHEMA = pa.schema([("passage_id", pa.large_string()), ("text", pa.large_string()), ("digest", pa.large_binary())])


class Batch(NamedTuple):
    """A run of passages."""

    ids: list[str]
    texts: list[str]
    digests: list[bytes]  #: SHA-256 of each text
    held: NDArray[np.int64]  #: position of the same text in the previous index, -1 where that does not have it


class SortedCorpus:
    """The passages of a corpus on disk, ready for an index.

    Attributes:
        path: the file.
        count: passages.
        dropped: rows that were left out, by reason.
        digest: SHA-256 over ids and texts, the same for every format and order of rows.
    """

    def __init__(self, path: Path, known: KnownTexts, digest: str, dropped: dict[str, int]) -> None:
        self.path = path
        self._known = known
        self.digest = digest
        self.dropped = dropped
        self.count: int = pq.read_metadata(path).num_rows

    def batches(self, size: int, first: int = 0) -> Iterator[Batch]:
        """Yield the passages in runs of `size`, from a run on."""
        with open_parquet(self.path) as file:
            for batch in islice(file.iter_batches(size), first, None):
                ids, texts, digests = (column.to_pylist() for column in batch.columns)
                yield Batch(ids, texts, digests, self._known.positions(digests))


def reopened(path: Path, digest: str, dropped: dict[str, int], scratch: Path, held: Iterable[Hashes]) -> SortedCorpus:
    """Return a corpus that was sorted elsewhere; see `sort_corpus`."""
    return SortedCorpus(path, KnownTexts(held, scratch), digest, dropped)


def content_of(ids: Sequence[str], digests: Sequence[bytes]) -> bytes:
    """Return what stands for some passages in a digest: no two lists of passages give the same bytes."""
    return b"".join(_content(name.encode("utf-8"), digest) for name, digest in zip(ids, digests, strict=True))


def sort_corpus(passages: Iterable[Passage], scratch: Path, held: Iterable[Hashes] = ()) -> SortedCorpus:
    """Put a corpus in order.

    Empty passages are left out and counted, and so are repeated rows.

    Args:
        passages: in any order.
        scratch: a folder with room for the corpus three times.
        held: the content hashes of the previous index, block by block in order of its positions.

    Raises:
        DataError: when two passages have one id and different texts, or nothing is left.
    """
    counts: Counter[str] = Counter()
    path = scratch / "sorted.parquet"
    digest = _write(_distinct(sorted_rows(_rows(passages, counts), scratch), counts), path)
    dropped = {reason: counts[reason] for reason in ("empty", "repeated") if counts[reason]}
    if counts["rows"] == counts["empty"]:
        rows = counts["rows"]
        raise DataError(f"The corpus has no passage: {f'all {rows:,} rows are empty' if rows else 'it has no row'}.")
    return SortedCorpus(path, KnownTexts(held, scratch), digest, dropped)


def _rows(passages: Iterable[Passage], counts: Counter[str]) -> Iterator[Row]:
    for passage in passages:
        counts["rows"] += 1
        if passage.text:
            text = passage.text.encode("utf-8")
            yield Row(
                passage.passage_id.encode("utf-8"), hashlib.sha256(text).digest(), text, os.fsencode(passage.place)
            )
        else:
            counts["empty"] += 1


def _distinct(rows: Iterable[Row], counts: Counter[str]) -> Iterator[Row]:
    """Yield the first row of each id."""
    last: Row | None = None
    for row in rows:
        if last is None or row.passage_id != last.passage_id:
            yield row
            last = row
        elif row.digest == last.digest:
            counts["repeated"] += 1
        else:
            raise DataError(
                f"{os.fsdecode(row.place)} has the id {row.passage_id.decode()!r}, which {os.fsdecode(last.place)} has "
                "with another text; give each its own."
            )


def _write(rows: Iterator[Row], path: Path) -> str:
    """Write rows as Parquet; returns the digest of the corpus."""
    whole = hashlib.sha256()
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd", use_dictionary=False, write_statistics=False) as writer:
        while group := list(islice(rows, _ROWS)):
            ids, digests, texts, _ = zip(*group, strict=True)
            whole.update(b"".join(map(_content, ids, digests)))
            names, kept = (binary_array(values).cast(pa.large_string()) for values in (ids, texts))
            table = pa.Table.from_arrays([names, kept, binary_array(digests)], schema=_SCHEMA)
            writer.write_table(table, row_group_size=_ROWS)
    return whole.hexdigest()


def _content(name: bytes, digest: bytes) -> bytes:
    return len(name).to_bytes(4, "little") + name + digest
