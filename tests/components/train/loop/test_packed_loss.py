"""The packed loss is the library's loss: the same value and the same gradients, however it is cut."""

import pytest
import torch

from components.model.base import open_model
from components.train.examples.tokens import TokenCollator, tokenise
from components.train.loop import packed_loss
from components.train.loop.packed_loss import LossNotFiniteError, PackedMultipleNegativesRankingLoss
from components.train.recipes import RECIPES
from tests.components.train.examples.test_tokens import EXAMPLES
from tests.factories.models import make_tiny_model

PROMPTS = {"query": "a query", "document": "a passage of it"}


@pytest.fixture(scope="module", params=[{}, PROMPTS], ids=["no prompts", "prompts"])
def prepared(request, tmp_path_factory):
    """A model without dropout, and a batch of examples whose texts differ in length."""
    folder = tmp_path_factory.mktemp("packed")
    model = open_model(make_tiny_model(folder / "tiny", prompts=request.param), device="cpu").train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    examples = tokenise(model, [EXAMPLES], 2, folder / "tokens")
    return model, TokenCollator(model, 2)(examples.__getitems__(range(len(EXAMPLES))))


def features_of(batch):
    return [
        {key.removeprefix(f"{name}_"): value for key, value in batch.items() if key.startswith(f"{name}_")}
        for name in ("query", "positive", "negative_1", "negative_2")
    ]


def gradients(loss_class, prepared, **options):
    model, batch = prepared
    model.zero_grad()
    loss = loss_class(model, **options)(features_of(batch), None)
    loss.backward()
    return loss.item(), torch.cat(
        [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
    )


@pytest.mark.parametrize("tokens", [8, 20, 10_000], ids=["one text in a pack", "a few", "one pack"])
@pytest.mark.parametrize("kept", [0, 1 << 30], ids=["everything computed twice", "everything kept"])
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_value_and_gradients_are_the_librarys(prepared, monkeypatch, tokens, kept, recipe):
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    monkeypatch.setattr(packed_loss, "_TOKENS_AT_ONCE", tokens)
    expected, expected_gradients = gradients(MultipleNegativesRankingLoss, prepared, directions=recipe.directions)
    packed = {"activation_bytes": kept, "directions": recipe.directions}
    loss, found = gradients(PackedMultipleNegativesRankingLoss, prepared, **packed)
    assert loss == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(found, expected_gradients, atol=1e-5, rtol=1e-3)


def saved_bytes(prepared, monkeypatch, kept):
    """Of tensors that are kept for the backward pass, beside the weights."""
    model, batch = prepared
    weights = {parameter.data_ptr() for parameter in model.parameters()}
    sizes = {}

    def save(tensor):
        if tensor.data_ptr() not in weights:
            sizes[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    monkeypatch.setattr(packed_loss, "_TOKENS_AT_ONCE", 20)
    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        PackedMultipleNegativesRankingLoss(model, activation_bytes=kept)(features_of(batch), None)
    return sum(sizes.values())


def test_what_is_computed_twice_is_not_kept(prepared, monkeypatch):
    assert saved_bytes(prepared, monkeypatch, kept=0) < saved_bytes(prepared, monkeypatch, kept=1 << 30) / 2


def test_a_loss_that_is_no_number_is_an_error_at_once(prepared):
    model, batch = prepared
    loss = PackedMultipleNegativesRankingLoss(model, scale=float("inf"))
    with pytest.raises(LossNotFiniteError):
        loss(features_of(batch), None)
