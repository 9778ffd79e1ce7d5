import json

import pytest

from components.model.encoder import Encoder
from tests.factories.evaluation_sets import write_dataset_version

WORDS = "array matrix graph node edge return value sort find path string number file model train test".split()


@pytest.fixture(scope="session")
def tiny_encoder(exported_tiny_model):
    return Encoder.open(exported_tiny_model)


@pytest.fixture
def dataset(tmp_path):
    """The evaluation set of a dataset version: six passages and three queries."""
    return write_dataset_version(tmp_path / "dataset")


def texts_of(count, first=0):
    """Passages of which no two are alike, by id."""
    return {
        f"p{number:04}": " ".join(WORDS[(number // 16**place) % 16] for place in range(4)) + " row" * (number % 5)
        for number in range(first, first + count)
    }


def write_corpus(path, passages):
    """Write passages by id as JSON Lines."""
    rows = (json.dumps({"id": name, "text": text}) + "\n" for name, text in passages.items())
    path.write_text("".join(rows), encoding="utf-8")
    return path
