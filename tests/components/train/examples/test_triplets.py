"""Examples: triplets of one query and positive are one, in the order in which the dataset was drawn."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.dataset.manifest import TRAIN, Triplet
from components.train.examples import triplets as examples
from components.train.examples.triplets import Example, read_examples, with_negatives

TRIPLETS = [
    Triplet("1", "sort", "sorted list", "a graph"),
    Triplet("2", "path", "shortest path", "a file"),
    Triplet("1", "sort", "sorted list", "a tree"),
    Triplet("1", "sort", "in order", "a set"),
]


@pytest.fixture
def write(tmp_path):
    def write(triplets):
        columns = dict(zip(Triplet._fields, map(list, zip(*triplets, strict=True)), strict=True))
        pq.write_table(pa.table(columns), tmp_path / TRAIN)
        return tmp_path

    return write


def test_all_triplets_of_one_query_and_positive_are_one_example(write, tmp_path):
    found = list(read_examples(write(TRIPLETS), True, tmp_path))
    assert found == [
        [
            Example("sort", "sorted list", ("a graph", "a tree"), 2),
            Example("path", "shortest path", ("a file",), 1),
            Example("sort", "in order", ("a set",), 1),
        ]
    ]


def test_else_the_first_triplet_of_every_query_is_used(write, tmp_path):
    found = list(read_examples(write(TRIPLETS), False, tmp_path))
    assert found == [
        [Example("sort", "sorted list", ("a graph",), 1), Example("path", "shortest path", ("a file",), 1)]
    ]


@pytest.mark.parametrize(("share", "least", "count"), [(0.5, 1, 2), (0.01, 1, 1), (0.01, 2, 2), (1.0, 9, 3)])
def test_a_share_is_the_first_examples_but_never_fewer_than_a_batch(write, tmp_path, share, least, count):
    (found,) = read_examples(write(TRIPLETS), True, tmp_path, share=share, least=least)
    assert len(found) == count


def test_chunks_hold_all_examples_once(write, tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "CHUNK", 7)
    monkeypatch.setattr(examples, "_FETCHED", 5)
    triplets = [Triplet(str(i // 2), f"query {i // 2}", f"positive {i // 2}", f"negative {i}") for i in range(40)]
    chunks = list(read_examples(write(triplets), True, tmp_path))
    assert [len(chunk) for chunk in chunks] == [7, 7, 6]
    assert [example.query for chunk in chunks for example in chunk] == [f"query {i}" for i in range(20)]
    assert all(len(example.negatives) == 2 for chunk in chunks for example in chunk)


def test_examples_that_are_cut_stand_for_the_same_triplets():
    mined = [Example("q", "p", ("own", "own too", "mined", "mined too"), 2), Example("r", "s", ("own",), 1)]
    assert [example.triplets for example in with_negatives(mined, 1)] == [1, 1, 0, 0, 1]
    assert [example.triplets for example in with_negatives(mined, 3)] == [2, 0, 1]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(), min_size=1, unique=True)), st.integers(1, 5))
def test_every_negative_is_used_and_every_example_has_as_many(negatives, count):
    given_ = [Example("q", f"p{place}", tuple(map(str, texts))) for place, texts in enumerate(negatives)]
    found = list(with_negatives(given_, count))
    assert all(len(example.negatives) == count for example in found)
    for example in given_:
        used = {text for other in found if other.positive == example.positive for text in other.negatives}
        assert used == set(example.negatives)
