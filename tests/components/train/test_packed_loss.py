"""The packed loss is the library's loss: the same value and the same gradients, however it is cut."""

import pytest
import torch

from components.base_model import open_model
from components.train import packed_loss
from components.train.packed_loss import PackedMultipleNegativesRankingLoss
from components.train.tokens import TokenCollator, tokenise
from tests.components.train.test_tokens import EXAMPLES
from tests.models import make_tiny_model

PROMPTS = {"query": "a query", "document": "a passage of it"}


@pytest.fixture(scope="module", params=[{}, PROMPTS], ids=["no prompts", "prompts"])
def prepared(request, tmp_path_factory):
    """A model without dropout, and a batch of examples whose texts differ in length."""
    folder = tmp_path_factory.mktemp("packed")
    model = open_model(make_tiny_model(folder / "tiny", prompts=request.param), device="cpu").train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    rows = tokenise(model, [EXAMPLES], 2, folder / "tokens").rows
    return model, TokenCollator(model, 2)(rows.select(range(len(EXAMPLES))).to_list())


def gradients(loss_class, prepared, **options):
    model, batch = prepared
    model.zero_grad()
    columns = ("query", "positive", "negative_1", "negative_2")
    features = [
        {key.removeprefix(f"{name}_"): value for key, value in batch.items() if key.startswith(f"{name}_")}
        for name in columns
    ]
    loss = loss_class(model, **options)(features, None)
    loss.backward()
    return loss.item(), torch.cat(
        [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
    )


@pytest.mark.parametrize("tokens", [8, 20, 10_000], ids=["one text in a pack", "a few", "one pack"])
@pytest.mark.parametrize("kept", [0, 1 << 30], ids=["everything computed twice", "everything kept"])
def test_value_and_gradients_are_the_librarys(prepared, monkeypatch, tokens, kept):
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    monkeypatch.setattr(packed_loss, "_TOKENS_AT_ONCE", tokens)
    expected, expected_gradients = gradients(MultipleNegativesRankingLoss, prepared)
    loss, found = gradients(PackedMultipleNegativesRankingLoss, prepared, activation_bytes=kept)
    assert loss == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(found, expected_gradients, atol=1e-5, rtol=1e-3)


def test_texts_that_are_computed_twice_take_less_memory(prepared):
    model, _ = prepared
    keeps = PackedMultipleNegativesRankingLoss(model, activation_bytes=1 << 20)
    assert 0 < keeps._tokens_kept < PackedMultipleNegativesRankingLoss(model)._tokens_kept
