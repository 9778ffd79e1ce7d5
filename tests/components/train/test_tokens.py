"""Token ids on disk are those that the model would be given, prompts included; equal texts have equal keys."""

import pytest
import torch

from components.base_model import open_model
from components.train.examples import Example
from components.train.tokens import TokenCollator, columns, has_tokens, open_tokens, tokenise
from tests.models import make_tiny_model

EXAMPLES = [
    Example("sort the array", "an array that is sorted by value", ("a graph", "a file with a string number in it")),
    Example("path", "find a path in the graph " * 30, ("a graph", "tree")),
    Example("the mean of a column of data", "sum", ("index", "")),
]


@pytest.fixture(
    scope="module",
    params=[{}, {"query": "the query ", "document": "data "}, {"query": "the query ", "passage": "data "}],
    ids=["no prompts", "prompts", "a prompt by another name"],
)
def model(request, tmp_path_factory):
    return open_model(make_tiny_model(tmp_path_factory.mktemp("tokens") / "tiny", prompts=request.param), device="cpu")


def document_prompt(model):
    """What `encode_document` puts before a text."""
    found = next(name for name in ("document", "passage", "corpus") if name in model.prompts)
    return model.prompts[found]


def test_a_batch_is_what_the_model_makes_of_the_texts(model, tmp_path):
    rows = tokenise(model, [EXAMPLES[:2], EXAMPLES[2:]], 2, tmp_path).rows
    batch = TokenCollator(model, 2)(rows.to_list())
    for name, texts in zip(
        columns(2), zip(*((e.query, e.positive, *e.negatives) for e in EXAMPLES), strict=True), strict=True
    ):
        prompt = model.prompts.get("query") if name == "query" else document_prompt(model)
        expected = model.preprocess(list(texts), prompt=prompt)
        for key in ("input_ids", "attention_mask", "token_type_ids"):
            torch.testing.assert_close(batch[f"{name}_{key}"], expected[key])
        assert batch.get(f"{name}_prompt_length") == expected.get("prompt_length")


def test_texts_are_cut_at_the_models_length(model, tmp_path):
    model.max_seq_length = 16
    rows = tokenise(model, [EXAMPLES], 2, tmp_path).rows
    assert max(len(row["positive"]) for row in rows) == 16
    model.max_seq_length = 64


def test_keys_tell_equal_texts(model, tmp_path):
    keys = tokenise(model, [EXAMPLES], 2, tmp_path).keys
    assert keys.shape == (3, 4)
    assert keys[0, 2] == keys[1, 2]
    assert len(set(keys.flatten().tolist())) == 11


def test_what_was_interrupted_is_not_taken_for_whole(model, tmp_path):
    def broken():
        yield EXAMPLES
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokenise(model, broken(), 2, tmp_path)
    assert not has_tokens(tmp_path)
    tokenise(model, [EXAMPLES], 2, tmp_path)
    assert has_tokens(tmp_path)
    assert len(open_tokens(tmp_path).rows) == 3
