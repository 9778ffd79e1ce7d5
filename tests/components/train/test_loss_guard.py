"""A training that goes wrong is stopped at the step where it shows, with what to do."""

from types import SimpleNamespace

import pytest

from components.errors import ModelError
from components.train.loss_guard import LossGuard


def log(losses, bf16=False):
    guard = LossGuard()
    for step, loss in enumerate(losses, start=1):
        args, state = SimpleNamespace(learning_rate=0.01, bf16=bf16), SimpleNamespace(global_step=step)
        guard.on_log(args, state, None, {"loss": loss})
        guard.on_log(args, state, None, {"eval_dev_cosine_accuracy": 0.5})


@pytest.mark.parametrize(
    "losses",
    [[2.0, 1.5, 1.9] * 4, [0.01] * 5 + [0.5] * 9, [1.0] * 8 + [4.0, 1.0, 1.0]],
    ids=["uneven", "small", "one hard batch"],
)
def test_a_loss_that_falls_or_is_small_is_let_alone(losses):
    log(losses)


@pytest.mark.parametrize(
    ("losses", "sentence"),
    [
        pytest.param([1.0] * 5 + [2.5] * 5, r"grew from 1\.000 to 2\.500 at step 10; lower --learning", id="grows"),
        pytest.param([0.1] * 5 + [1.1] * 9, r"\(0.01 was used, 5e-5 is a good start\)", id="to more than a nat"),
    ],
)
def test_one_that_explodes_ends_it(losses, sentence):
    with pytest.raises(ModelError, match=sentence):
        log(losses)


def test_in_bf16_fp32_is_an_advice_too():
    with pytest.raises(ModelError, match="or train with `--precision fp32`"):
        log([1.0] * 5 + [3.0] * 5, bf16=True)
