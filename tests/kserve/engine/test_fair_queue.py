"""Turns that are fair between requests, and budgets that greedy ones cannot use up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.engine.budgets import Budget, fits
from predictor.engine.fair_queue import FairQueue, Order
from predictor.engine.lanes import Lanes


class Text:
    def __init__(self, order: Order, name: str) -> None:
        self.order, self.name = order, name


def queued(queue: FairQueue, name: str, count: int, cost: int = 10) -> None:
    order = Order()
    for _ in range(count):
        queue.add(Text(order, name), cost)


def served(queue: FairQueue) -> str:
    return "".join(queue.pop().name for _ in range(len(queue)))


def test_requests_within_a_turn_are_served_as_they_came():
    queue = FairQueue(100)
    for name in "abc":
        queued(queue, name, 5)
    assert served(queue) == "aaaaabbbbbccccc"


def test_a_small_request_waits_for_a_turn_of_each_large_one():
    queue = FairQueue(100)
    for name in "abcd":
        queued(queue, name, 1000)
    queued(queue, "x", 5)
    assert "xxxxx" in served(queue)[:45]


def test_a_small_request_that_comes_later_waits_no_longer():
    queue = FairQueue(100)
    queued(queue, "a", 1000)
    for _ in range(500):
        queue.pop()
    queued(queue, "x", 5)
    assert "xxxxx" in served(queue)[:25]


def test_a_request_that_comes_in_pieces_keeps_its_place():
    queue = FairQueue(100)
    order = Order()
    for _ in range(30):
        queue.add(Text(order, "a"), 10)
    queued(queue, "b", 10)
    for _ in range(30):
        queue.add(Text(order, "a"), 10)
    assert served(queue)[:20] == "a" * 10 + "b" * 10


def test_small_requests_pass_large_ones_which_keep_their_share():
    lanes = Lanes(100)
    for name, count, is_small in (("a", 20, False), ("x", 6, True), ("y", 6, True)):
        order = Order(is_small=is_small)
        for _ in range(count):
            lanes.add(Text(order, name), 10)
    names = "".join(lanes.next().pop().name for _ in range(len(lanes)))
    assert names.startswith("xxxaxxxayyyayyya")
    assert names.endswith("a" * 16)
    assert lanes.expects_small


def test_lanes_expect_no_small_request_where_none_came():
    lanes = Lanes(100)
    lanes.add(Text(Order(), "a"), 10)
    assert not lanes.expects_small
    lanes.filter(lambda text: text.name != "a")
    assert len(lanes) == len(lanes.next()) == 0


def test_take_removes_what_was_shown_and_filter_what_is_not_kept():
    queue = FairQueue(100)
    for name in "abc":
        queued(queue, name, 3)
    queue.take(queue.first(9)[1:4])
    removed = queue.filter(lambda text: text.name != "c")
    assert [text.name for text in removed] == ["c", "c", "c"]
    assert served(queue) == "abb"


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 50)), min_size=1, max_size=20))
def test_nothing_is_lost_or_served_twice(requests):
    queue = FairQueue(100)
    for number, (count, cost) in enumerate(requests):
        queued(queue, chr(65 + number), count, cost)
    names = served(queue)
    assert sorted(names) == sorted("".join(chr(65 + number) * count for number, (count, _) in enumerate(requests)))


@given(st.integers(2, 200))
def test_however_many_want_all_a_small_share_is_left(greedy):
    budget = Budget(1 << 20)
    shares = [budget.share() for _ in range(greedy)]
    while any([share.grow(1 << 10) for share in shares]):
        pass
    another = budget.share()
    assert another.grow(budget.limit // (2 * (greedy + 1)) - (1 << 10))
    for share in [*shares, another]:
        share.release()
    assert budget.used == 0


@pytest.mark.parametrize(
    ("amount", "others", "expected"),
    [(100, 0, True), (101, 0, False), (50, 1, False), (49, 1, True), (1, 98, True), (1, 99, False)],
    ids=["alone", "too large alone", "more than half", "half", "the last", "none left"],
)
def test_fits(amount, others, expected):
    assert fits(amount, others, 100) is expected
