"""One predictor for the tests that only ask it, and what they ask with."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from components.model.encoder import Encoder
from tests.factories.index_versions import index_of
from tests.kserve.running import RunningPredictor, running

TEXTS = ["sort the array", "find a path in the graph", "sum the column of a data set", "an edge of the tree"]


CORPUS = {
    "arrays/sort": "sort the array",
    "graphs/path": "find a path in the graph",
    "columns/sum": "sum the column of a data set",
    "trees/edge": "an edge of the tree",
    "trees/ünicode": "ein Baum — an edge of the tree 🌳",
}


@pytest.fixture(scope="session")
def index(exported_tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of a small corpus by the model that `predictor` serves."""
    folder = tmp_path_factory.mktemp("index") / "index"
    index_of(folder, Encoder.open(exported_tiny_model), CORPUS)
    return folder


@pytest.fixture(scope="session")
def predictor(
    exported_tiny_model: Path, index: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningPredictor]:
    folder = tmp_path_factory.mktemp("predictor")
    with running(exported_tiny_model, folder, "--index_dir", str(index)) as started:
        yield started


@pytest.fixture(scope="session")
def client(predictor: RunningPredictor) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=predictor.url, timeout=30) as opened:
        yield opened
