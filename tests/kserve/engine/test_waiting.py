"""Which waiting texts are embedded together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.model.encoder import Tokens
from predictor.engine.fair_queue import Order
from predictor.engine.waiting import Waiting, choose_batch


def waiting(tokens: int) -> Waiting:
    item = Waiting("", 0.0, Order())
    item.tokens = Tokens(np.zeros(tokens, dtype=np.int32), np.zeros(0, dtype=np.int8), was_cut=False)
    return item


@given(st.lists(st.integers(2, 256), min_size=1, max_size=100), st.integers(1, 4), st.integers(64, 4096))
def test_a_batch_has_the_oldest_text_and_keeps_to_the_budget(lengths, streams, budget):
    window = [waiting(length) for length in lengths]
    batch = choose_batch(window, budget, streams)
    assert batch[0] is window[0]
    assert len(batch) == len(set(map(id, batch)))
    assert len(batch) == 1 or len(batch) * max(item.length for item in batch) <= budget


def test_a_lone_request_is_shared_among_the_streams():
    window = [waiting(64) for _ in range(10)]
    assert len(choose_batch(window, 4096, streams=2)) == 4


def test_a_batch_is_of_like_lengths():
    window = [waiting(length) for length in (60, 10, 61, 200, 59, 11, 60, 60)]
    assert {item.length for item in choose_batch(window, 300, streams=1)} <= {59, 60, 61}


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        pytest.param([10, 52, 52, 52, 52], [10], id="a query among passages waits for no padding"),
        pytest.param([10, 52, 11, 52, 12], [10, 11, 12], id="queries of several requests go together"),
        pytest.param([52, 10, 52, 52, 52], [52, 52, 52, 52], id="passages leave the query behind"),
        pytest.param([52, 44, 56, 50], [52, 44, 56, 50], id="a little padding is less than an inference"),
    ],
)
def test_choose_batch_of_unlike_lengths_pads_less_than_another_inference_costs(lengths, expected):
    batch = choose_batch([waiting(length) for length in lengths], 1024, streams=1)
    assert sorted(item.length for item in batch) == sorted(expected)
