"""Weight averaging: what measures best is left in the model, to the bit where that is the fine-tuned one."""

import pytest
import torch

from components.model.base import open_model
from components.train.loop.averaging import average, weights_of


@pytest.fixture
def models(tiny_model):
    """A model that was fine-tuned, in a way, and the weights of its base."""
    model = open_model(tiny_model, device="cpu")
    base = weights_of(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    return model, base


def distance(model, base):
    """Of one weight from the base model's: 1 when it is the fine-tuned one."""
    name = "0.model.encoder.layer.0.attention.self.query.weight"
    return float((model.state_dict()[name] - base[name]).mean())


@pytest.mark.parametrize("best", [0.25, 0.5, 1.0])
def test_the_share_that_measures_best_is_left_in_the_model(models, best):
    model, base = models
    share, measures = average(
        model,
        base,
        (0.25, 0.5),
        lambda: {"ndcg": 1.0 - abs(distance(model, base) - best)},
        by="ndcg",
        tuned_measures={"ndcg": 1.0 - abs(1.0 - best)},
    )
    assert share == best
    assert distance(model, base) == pytest.approx(best, abs=1e-5)
    assert measures["ndcg"] == pytest.approx(1.0, abs=1e-5)


def test_a_tie_keeps_the_fine_tuned_weights_bit_by_bit(models):
    model, base = models
    tuned = weights_of(model)
    share, _ = average(model, base, (0.3, 0.6), lambda: {"ndcg": 0.5}, by="ndcg", tuned_measures={"ndcg": 0.5})
    assert share == 1.0
    assert all(torch.equal(tensor, tuned[name]) for name, tensor in model.state_dict().items())
