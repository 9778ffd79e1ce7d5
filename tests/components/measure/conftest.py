"""Candidates that differ on purpose, and a dataset that they can learn."""

import pytest

from components.prepare.options import PrepareOptions
from components.prepare.stage import prepare
from components.train.loop.fit import train_model
from components.train.report import TrainOptions
from tests.factories.datasets import write_triplets
from tests.factories.models import make_tiny_model


@pytest.fixture(scope="session")
def choosable(tiny_model, tmp_path_factory):
    """A dataset version with 40 dev queries."""
    directory = tmp_path_factory.mktemp("choosable")
    source = write_triplets(directory / "triplets.csv", 400)
    options = PrepareOptions(base_model=str(tiny_model), evaluation_queries=60, dev_queries=40)
    prepare(str(source), directory / "dataset", options)
    return directory / "dataset"


@pytest.fixture(scope="session")
def skilled(choosable, tmp_path_factory):
    """A small model that knows the task already."""
    output = tmp_path_factory.mktemp("skilled") / "model"
    train_model(choosable, output, TrainOptions(epochs=6, batch_size=16, learning_rate=2e-3, precision="fp32"))
    return output


@pytest.fixture(scope="session")
def clumsy(tmp_path_factory):
    """A model that knows nothing, and is larger and slower."""
    return make_tiny_model(tmp_path_factory.mktemp("clumsy"), width=128, layers=6)


@pytest.fixture(scope="session")
def damaged(tiny_model, tmp_path_factory):
    """A model whose weights end in the middle: its JSON files say nothing of that."""
    import shutil

    folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp("damaged") / "model")
    weights = next(folder.rglob("model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    return folder
