"""The encoder: same text, same embedding, whatever else is asked for beside it."""

import json
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import ModelError
from components.model.encoder import Encoder, common_size, group_by_length
from components.model.runtime import cpu_has_bf16
from components.model.served import EncoderConfig

LONG = "graph node edge path tree " * 40


@pytest.fixture(scope="module")
def encoder(exported_tiny_model):
    return Encoder.open(exported_tiny_model)


def test_an_embedding_does_not_depend_on_its_batch(encoder):
    texts = ["sort", LONG, "find the path", "", LONG[:50], "row and column"]
    alone = np.vstack([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode(texts), alone, atol=1e-5)


def test_embeddings_are_float32_unit_vectors_in_the_order_of_the_texts(encoder):
    embeddings = encoder.encode(["one text", "another text"])
    assert embeddings.dtype == np.float32
    assert embeddings.shape == (2, 32)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(["another text", "one text"]), embeddings[::-1], atol=1e-5)


def test_no_texts_give_no_embeddings(encoder):
    assert encoder.encode([]).shape == (0, 32)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=300))
def test_any_text_has_a_finite_embedding(encoder, text):
    assert np.isfinite(encoder.encode([text])).all()


@pytest.mark.parametrize("text", ["\ud800 lone surrogate", "\x00 nul", "👩‍👩‍👧‍👦", "مرحبا", "a" * 100_000])
def test_odd_texts_have_embeddings(encoder, text):
    assert np.isfinite(encoder.encode([text])).all()


TURNS = """
import random, sys
from pathlib import Path
from components.model.encoder import Encoder

encoder = Encoder.open(Path(sys.argv[1]), threads=2)
words = "sort the array find a path in the graph sum the column of a data set an edge of the tree".split()
chance = random.Random(1)

def text():
    return " ".join(chance.choices(words, k=chance.randint(1, 60)))

session = encoder.session()
for _ in range(300):
    encoder.encode([text()])
    session.run(encoder.tokenize([text() for _ in range(chance.randint(2, 41))]))
"""


def test_encode_and_a_session_take_turns(exported_tiny_model):
    # Where a session shares its arrays with OpenVINO, the next `encode` writes to them after they were freed, and the
    # process dies of it: hence a process of its own.
    ended = subprocess.run([sys.executable, "-c", TURNS, str(exported_tiny_model)], check=False, capture_output=True)
    assert ended.returncode == 0, ended.stderr


def test_threads_share_an_encoder(encoder):
    expected = encoder.encode(["sort the array"] * 3)
    results: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: results.append(encoder.encode(["sort the array"] * 3))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    for result in results:
        np.testing.assert_allclose(result, expected, atol=1e-5)


@given(st.lists(st.integers(min_value=0, max_value=600), max_size=80), st.integers(min_value=1, max_value=4096))
def test_groups_hold_every_text_once_and_keep_the_budget(lengths, budget):
    groups = list(group_by_length(np.array(lengths, dtype=np.int64), budget))
    assert sorted(position for group in groups for position in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[position] for position in group) <= budget
        assert len(group) == common_size(len(group))


def test_batches_are_of_few_sizes():
    assert sorted({common_size(texts) for texts in range(1, 100)}) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96]
    assert all(common_size(texts) <= texts < 2 * common_size(texts) for texts in range(1, 1000))


@pytest.mark.parametrize("name", ["encoder.bin", "encoder.xml", "tokenizer.json"])
def test_a_missing_or_damaged_file_is_named(exported_tiny_model, tmp_path, name):
    model = tmp_path / "model"
    shutil.copytree(exported_tiny_model, model)
    content = bytearray((model / name).read_bytes())
    content[len(content) // 2] ^= 1
    (model / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"{name} is damaged: its SHA-256"):
        Encoder.open(model)
    (model / name).unlink()
    with pytest.raises(ModelError, match=f"{name} is missing"):
        Encoder.open(model)


def test_a_folder_that_is_no_model_says_how_to_make_one(tmp_path):
    with pytest.raises(ModelError, match=r"has no encoder.json; export the model with `ranklift export"):
        Encoder.open(tmp_path)


def test_a_precision_that_the_processor_lacks_is_refused(exported_tiny_model, tmp_path):
    if cpu_has_bf16():
        return  # this processor has every precision that ranklift exports
    model = tmp_path / "model"
    shutil.copytree(exported_tiny_model, model)
    config = json.loads((model / "encoder.json").read_text())
    (model / "encoder.json").write_text(json.dumps({**config, "precision": "bf16"}))
    with pytest.raises(ModelError, match="bf16, which this processor does not have"):
        Encoder.open(model)


def test_of_an_encoder_without_matryoshka_dimensions_is_written_as_before(exported_tiny_model, tmp_path):
    path = exported_tiny_model / "encoder.json"
    assert "matryoshka" not in path.read_text()
    config = EncoderConfig.of(exported_tiny_model).model_copy(update={"matryoshka_dimensions": [8, 16]})
    config.write(tmp_path / "encoder.json")
    assert EncoderConfig.of(tmp_path).matryoshka_dimensions == [8, 16]
    assert EncoderConfig.of(tmp_path).digest == EncoderConfig.of(exported_tiny_model).digest
