"""Rows come out in order whatever the number of runs on disk, and in memory that does not grow with them."""

import random
import subprocess
import sys

import pytest

from components.index import sorting
from components.index.sorting import Row, sorted_rows


def rows_of(count):
    """Rows of which some share an id, in no order."""
    names = [f"p{number * 2 // 3:04}ä".encode() for number in range(count)]
    random.Random(5).shuffle(names)
    return [Row(name, b"digest", b"text", b"row %d" % number) for number, name in enumerate(names)]


@pytest.mark.parametrize("run", [1, 1000, 5000, 1 << 30], ids=["a row each", "two rows", "ten rows", "all at once"])
@pytest.mark.parametrize("fan_in", [2, 3, 64])
def test_sorted_rows_in_any_number_of_runs_are_in_order(tmp_path, monkeypatch, run, fan_in):
    monkeypatch.setattr(sorting, "_RUN", run)
    monkeypatch.setattr(sorting, "_PIECE", 1200)
    monkeypatch.setattr(sorting, "_FAN_IN", fan_in)
    rows = rows_of(90)
    found = list(sorted_rows(rows, tmp_path))
    assert found == sorted(rows, key=lambda row: row.passage_id)  # equal ids in the order in which they came
    assert list(tmp_path.iterdir()) == []


def test_sorted_rows_of_nothing_are_none(tmp_path):
    assert list(sorted_rows([], tmp_path)) == []


SORT = """
import hashlib, sys
from pathlib import Path
from components.index.corpus import sort_corpus
from components.index.passages import Passage
count = int(sys.argv[1])
texts = (hashlib.shake_128(b"%d" % n).hexdigest(500) for n in range(count))  # zstd halves them and no more
rows = (Passage(f"row {n}", f"p{n * 7919 % count:07}", text) for n, text in enumerate(texts))
corpus = sort_corpus(rows, Path(sys.argv[2]))
assert sum(len(batch.ids) for batch in corpus.batches(1024)) == count
corpus.path.unlink()
print(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")))
"""


def test_sort_corpus_and_reading_it_of_eight_times_as_many_passages_takes_no_more_memory(tmp_path):
    """40 MB of text and 320 MB. What is freed and not yet given back differs from run to run, by a sixth at most."""

    def peak(count):
        (tmp_path / str(count)).mkdir()
        command = [sys.executable, "-c", SORT, str(count), str(tmp_path / str(count))]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert peak(320_000) < 1.3 * peak(40_000)
