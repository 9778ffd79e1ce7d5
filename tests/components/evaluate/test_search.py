"""The search returns exactly what sorting every score would, whatever the blocks, the ties and the depth."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluate import search as module
from components.evaluate.search import search


def by_sorting(queries: np.ndarray, passages: np.ndarray, ids: list[str], depth: int) -> list[list[tuple[str, float]]]:
    scores = queries @ passages.T
    return [
        sorted(zip(ids, map(float, row), strict=True), key=lambda pair: (pair[1], pair[0]), reverse=True)[:depth]
        for row in scores
    ]


def in_blocks(passages: np.ndarray, ids: list[str], size: int):
    for start in range(0, len(ids), size):
        yield ids[start : start + size], passages[start : start + size]


SHAPES = st.fixed_dictionaries(
    {
        "passages": st.integers(1, 90),
        "depth": st.integers(1, 40),
        "block": st.integers(1, 100),
        "largest": st.sampled_from([0, 1, 2, 1000]),
        "scores_at_once": st.sampled_from([1, 50, 1 << 20]),
    }
)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), shape=SHAPES)
def test_it_is_exact_and_breaks_ties_by_descending_id(seed, shape) -> None:
    rng = np.random.default_rng(seed)
    # Whole numbers: sums are exact in float32, so that equal scores are equal whatever the order of addition.
    low, high = -shape["largest"], shape["largest"] + 1
    queries = rng.integers(low, high, (5, 3)).astype(np.float32)
    corpus = rng.integers(low, high, (shape["passages"], 3)).astype(np.float32)
    ids = [f"p{name}" for name in rng.permutation(shape["passages"])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SCORES_AT_ONCE", shape["scores_at_once"])
        found = list(search(queries, in_blocks(corpus, ids, shape["block"]), shape["depth"]))
    assert found == by_sorting(queries, corpus, ids, shape["depth"])


def test_an_empty_corpus_gives_empty_rankings() -> None:
    assert list(search(np.ones((2, 3), np.float32), iter(()), 10)) == [[], []]


def test_a_corpus_that_gets_better_and_better_is_searched_exactly() -> None:
    passages = np.arange(5000, dtype=np.float32)[:, None]
    ids = [str(place) for place in range(5000)]
    [ranking] = search(np.ones((1, 1), np.float32), in_blocks(passages, ids, 700), 10)
    assert [name for name, _ in ranking] == [str(place) for place in range(4999, 4989, -1)]


MILLION = """
import resource, sys
import numpy as np
from components.evaluate.search import search

def blocks(rng):
    for start in range(0, 1_000_000, 4096):
        size = min(4096, 1_000_000 - start)
        yield [f"p{start + place}" for place in range(size)], rng.standard_normal((size, 384), dtype=np.float32)

rng = np.random.default_rng(0)
rankings = list(search(rng.standard_normal((200, 384), dtype=np.float32), blocks(rng), 1000))
assert len(rankings) == 200 and all(len(ranking) == 1000 for ranking in rankings)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
@pytest.mark.extended
def test_a_million_passages_of_384_numbers_are_searched_in_under_4_gib() -> None:
    done = subprocess.run([sys.executable, "-c", MILLION], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4 << 30
