"""Token ids on disk are those that the model would be given, prompts included; equal texts have equal keys."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from components.model.base import open_model
from components.train.examples.tokens import (
    TokenCollator,
    TokenisedExamples,
    columns,
    has_tokens,
    scored,
    tokenise,
)
from components.train.examples.triplets import Example
from tests.factories.models import make_tiny_model

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
    examples = tokenise(model, [EXAMPLES[:2], EXAMPLES[2:]], 2, tmp_path)
    batch = TokenCollator(model, 2)(examples.__getitems__([0, 1, 2]))
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
    examples = tokenise(model, [EXAMPLES], 2, tmp_path)
    assert max(len(row["positive"]) for row in examples) == 16
    model.max_seq_length = 64


def test_keys_tell_equal_texts(model, tmp_path):
    keys = tokenise(model, [EXAMPLES], 2, tmp_path).keys([0, 1, 2])
    assert keys.shape == (3, 4)
    assert keys[0, 2] == keys[1, 2]
    assert len(set(keys.flatten().tolist())) == 11


def test_a_data_loader_of_several_processes_reads_what_one_reads(model, tmp_path):
    examples = tokenise(model, [EXAMPLES[:1], EXAMPLES[1:]], 2, tmp_path)
    batches = [[2, 0], [1], [0, 1, 2], [1, 1]]
    for processes in (0, 2):
        loader = DataLoader(examples, batch_sampler=batches, collate_fn=list, num_workers=processes)
        for rows, found in zip(batches, loader, strict=True):
            for row, example in zip(rows, found, strict=True):
                assert list(example) == examples.column_names
                assert all(np.array_equal(example[name], ids) for name, ids in examples[row].items())


def scores_of(examples):
    """Scores that tell from which example and passage they come."""
    return np.array([[len(one.query), len(one.positive), *map(len, one.negatives)][1:] for one in examples], np.float32)


def test_scored_examples_have_their_scores_in_the_batch(model, tmp_path):
    chunks = scored([EXAMPLES[:2], EXAMPLES[2:]], scores_of, tmp_path)
    examples = tokenise(model, chunks, 2, tmp_path)
    batch = TokenCollator(model, 2)(examples.__getitems__([2, 0]))
    torch.testing.assert_close(batch["label"], torch.from_numpy(scores_of([EXAMPLES[2], EXAMPLES[0]])))
    assert examples.column_names == list(columns(2))


def test_has_tokens_whose_scores_were_cut_is_false(model, tmp_path):
    tokenise(model, scored([EXAMPLES], scores_of, tmp_path), 2, tmp_path)
    assert has_tokens(tmp_path)
    path = tmp_path / "scores.bin"
    path.write_bytes(path.read_bytes()[:-1])
    assert not has_tokens(tmp_path)


@pytest.mark.parametrize("row", [3, -1], ids=["behind the last", "before the first"])
def test_there_is_no_other_row(model, tmp_path, row):
    examples = tokenise(model, [EXAMPLES], 2, tmp_path)
    with pytest.raises(IndexError, match=rf"no row {row}: rows are 0 to 2"):
        examples[row]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what a process has mapped")
def test_what_was_read_is_not_mapped(model, tmp_path):
    examples = tokenise(model, [EXAMPLES], 2, tmp_path)
    assert len(list(examples)) == len(examples.keys([0, 1, 2])) == 3
    assert str(tmp_path) not in Path("/proc/self/maps").read_text(), "mapped pages count as memory of the training"


def test_what_was_interrupted_is_not_taken_for_whole(model, tmp_path):
    def broken():
        yield EXAMPLES
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokenise(model, broken(), 2, tmp_path)
    assert not has_tokens(tmp_path)
    tokenise(model, [EXAMPLES], 2, tmp_path)
    assert has_tokens(tmp_path)
    assert len(TokenisedExamples(tmp_path)) == 3


@pytest.mark.parametrize("name", ["tokens.bin", "places.bin", "tokens.json"])
def test_what_lost_its_end_is_not_taken_for_whole(model, tmp_path, name):
    tokenise(model, [EXAMPLES], 2, tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:-1])
    assert not has_tokens(tmp_path)
    (tmp_path / name).write_bytes(whole)
    assert has_tokens(tmp_path)
