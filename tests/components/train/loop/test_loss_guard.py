"""A training that goes wrong is stopped at the step where it shows, with what to do."""

import math
from types import SimpleNamespace

import pytest

from components.errors import ModelError
from components.model.base import open_model
from components.train.loop.loss_guard import LossGuard, loss_of_guessing
from components.train.recipes import RECIPES

GUESSING = math.log(32)


def log(losses, *, batch_size=16, every=1, rate=0.01, bf16=False):
    """Tell a guard the loss of the first step, and then those of so many steps each."""
    guard, history = LossGuard(GUESSING, batch_size), []
    args = SimpleNamespace(learning_rate=rate, bf16=bf16)
    for number, loss in enumerate(losses):
        step = 1 + number * every
        for entry in ({"loss": loss, "step": step}, {"eval_dev_cosine_accuracy": 0.5, "step": step}):
            history.append(entry)
            guard.on_log(args, SimpleNamespace(global_step=step, log_history=history), None, entry)


@pytest.mark.parametrize(
    "losses",
    [
        pytest.param([2.0, 1.5, 1.9] * 4, id="uneven"),
        pytest.param([0.01] * 5 + [0.5] * 9, id="small"),
        pytest.param([1.0] * 8 + [4.0, 1.0, 1.0], id="one hard batch"),
        pytest.param([3.4] * 20, id="a base model that guesses"),
    ],
)
def test_a_loss_that_falls_or_is_small_is_let_alone(losses):
    log(losses)


@pytest.mark.parametrize(
    ("losses", "sentence"),
    [
        pytest.param([1.0] * 5 + [2.5] * 5, r"grew from 1\.000 to 2\.500 at step 10; lower --learning", id="grows"),
        pytest.param([0.1] * 5 + [1.1] * 9, r"\(0.01 was used, 5e-5 is a good start\)", id="to more than a nat"),
        pytest.param([0.8] + [3.5] * 20, r"grew from 0\.800 to 3\.500 at step 6; lower", id="with the first steps"),
    ],
)
def test_one_that_explodes_ends_it(losses, sentence):
    with pytest.raises(ModelError, match=sentence):
        log(losses)


def test_few_examples_are_no_proof():
    log([0.6, *[3.5] * 20], batch_size=1, every=1)


@pytest.mark.parametrize(
    ("rate", "advice"),
    [(0.01, r"\(0.01 was used, 5e-5 is a good start\)"), (5e-5, r"\(5e-05 was used, try 5e-06\)")],
    ids=["high", "usual"],
)
def test_the_advice_is_another_rate_than_the_one_that_was_used(rate, advice):
    with pytest.raises(ModelError, match=advice):
        log([0.8] + [3.5] * 20, rate=rate)


def test_in_bf16_fp32_is_an_advice_too():
    with pytest.raises(ModelError, match="or train with `--precision fp32`"):
        log([1.0] * 5 + [3.0] * 5, bf16=True)


@pytest.mark.parametrize(
    ("recipe", "candidates"),
    [("seed", 32 * 2), ("strong", 16 * 2 + 2 * 15 + 31), ("mined", 16 * 4 + 2 * 15 + 61)],
    ids=["one direction", "all directions", "more negatives"],
)
def test_guessing_is_between_all_that_a_text_is_compared_with(tiny_model, recipe, candidates):
    model = open_model(tiny_model, device="cpu")
    assert loss_of_guessing(model, RECIPES[recipe]) == pytest.approx(math.log(candidates))
