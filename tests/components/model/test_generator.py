"""What can generate queries writes text; anything else is named before it is opened."""

import json
import shutil

import pytest
import torch

from components.errors import ModelError
from components.model.generator import QueryGenerator, generator_directory
from tests.factories.models import make_tiny_cross_encoder, make_tiny_generator

PASSAGES = ["find a path in the graph", "sort the array by value", "the mean of a column"] * 7


@pytest.fixture(scope="module", params=[False, True], ids=["sequence to sequence", "causal"])
def generator(request, tmp_path_factory):
    return make_tiny_generator(tmp_path_factory.mktemp("generator") / "model", causal=request.param)


def written(generator, seed=3, each=2):
    return [queries for batch in QueryGenerator(generator).queries(PASSAGES, each, seed) for queries in batch]


def test_generator_directory_of_a_language_model_is_its_folder(generator):
    assert generator_directory(str(generator)) == generator


def test_queries_are_so_many_for_each_passage_and_the_same_with_the_same_seed(generator):
    first = written(generator)
    assert [len(queries) for queries in first] == [2] * len(PASSAGES)
    assert written(generator) == first != written(generator, seed=4)
    assert len({query for queries in first for query in queries}) > len(PASSAGES), "drawn, and not always the likeliest"


def test_queries_are_no_part_of_what_the_model_was_given(generator):
    texts = [query for queries in written(generator, each=1) for query in queries]
    assert not any("Query:" in text or "</s>" in text or "<pad>" in text for text in texts)
    assert not any(text.startswith(passage) for text, passage in zip(texts, PASSAGES, strict=True))


def test_queries_for_passages_longer_than_the_model_reads_are_written_from_their_beginnings(tmp_path):
    short = make_tiny_generator(tmp_path / "short", causal=True, positions=128)
    long = " ".join(["find a path in the graph"] * 100)
    read = " ".join(long.split()[: 128 - 40 - 64])
    first, second = ([*QueryGenerator(short).queries([text], 3, 1)] for text in (long, read))
    assert first == second


def test_queries_leave_the_random_numbers_of_others_alone(generator):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    written(generator)
    assert torch.equal(torch.rand(3), expected)


def test_query_generator_of_damaged_weights_is_one_sentence(generator, tmp_path):
    damaged = shutil.copytree(generator, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(ModelError, match=r"^The query generator .*damaged cannot be opened \(.*\); give a text gener"):
        QueryGenerator(damaged)


def encoder_of_t5(folder):
    make_tiny_generator(folder)
    config = json.loads((folder / "config.json").read_text()) | {"architectures": ["T5EncoderModel"]}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def writer_of_speech(folder):
    make_tiny_generator(folder)
    config = {"architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        pytest.param(make_tiny_cross_encoder, "a BertForSequenceClassification, which writes no text", id="a scorer"),
        pytest.param(encoder_of_t5, "a T5EncoderModel, which writes no text", id="half of a T5"),
        pytest.param(writer_of_speech, "a WhisperForConditionalGeneration, which writes no text", id="of speech"),
        pytest.param(lambda folder: folder.mkdir() or folder, "not a sentence-transformers model", id="empty"),
    ],
)
def test_generator_directory_of_something_else_says_what_it_is(tmp_path, make, complaint):
    folder = make(tmp_path / "model")
    with pytest.raises(ModelError, match=rf"^The query generator {folder} is {complaint}.*: use one, such as"):
        generator_directory(str(folder))


def test_generator_directory_of_a_base_model_says_what_it_is(tiny_model):
    with pytest.raises(ModelError, match=rf"{tiny_model} is an encoder, which writes no text; it must be a model of t"):
        generator_directory(str(tiny_model))


def test_generator_directory_of_a_name_that_leads_nowhere_is_one_sentence():
    with pytest.raises(ModelError, match="There is no query generator at '/nowhere'; give the folder of a text gener"):
        generator_directory("/nowhere")
