"""Mined negatives: near the query, but not its answer, and not nearly as near as that."""

import pytest

from components.model.base import open_model
from components.train.examples.hard_negatives import mine
from components.train.examples.triplets import Example
from components.train.recipes import MARGIN

TEXTS = "array matrix graph node edge return value sort find path string number file model train test".split()
EXAMPLES = [Example(text, f"{text} of the {text}", ()) for text in TEXTS]


@pytest.fixture(scope="module")
def model(tiny_model):
    return open_model(tiny_model, device="cpu")


def test_every_mined_passage_is_less_similar_than_the_positive_by_the_margin(model):
    found = list(mine(EXAMPLES, model, 3))
    passages = {example.positive for example in EXAMPLES}
    assert [(example.query, example.positive) for example in found] == [(e.query, e.positive) for e in EXAMPLES]
    assert any(example.negatives for example in found)
    for example in found:
        assert example.positive not in example.negatives
        assert set(example.negatives) <= passages
        query = model.encode_query(example.query)
        limit = (1 - MARGIN) * float(model.similarity(query, model.encode_document(example.positive)))
        for negative in example.negatives:
            assert float(model.similarity(query, model.encode_document(negative))) <= limit + 1e-5


def test_negatives_of_the_data_come_first_and_none_is_taken_twice(model):
    brought = "graph of the graph"
    examples = [example._replace(negatives=(brought,)) if example.query == "array" else example for example in EXAMPLES]
    example = next(example for example in mine(examples, model, 3) if example.query == "array")
    assert example.negatives[0] == brought
    assert len(set(example.negatives)) == len(example.negatives) <= 3


def test_other_answers_of_the_same_query_are_no_negatives(model):
    examples = [*EXAMPLES, Example("array", "array of the matrix", ())]
    for example in mine(examples, model, 5):
        if example.query == "array":
            assert not {"array of the array", "array of the matrix"} & set(example.negatives)


def test_who_has_enough_is_left_as_it_is(model):
    full = [example._replace(negatives=("a", "b")) for example in EXAMPLES]
    assert list(mine(full, model, 2)) == full
