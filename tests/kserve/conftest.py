"""One predictor for the tests that only ask it, and what they ask with."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.kserve.running import RunningPredictor, running

TEXTS = ["sort the array", "find a path in the graph", "sum the column of a data set", "an edge of the tree"]


@pytest.fixture(scope="session")
def predictor(exported_tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPredictor]:
    with running(exported_tiny_model, tmp_path_factory.mktemp("predictor")) as started:
        yield started


@pytest.fixture(scope="session")
def client(predictor: RunningPredictor) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=predictor.url, timeout=30) as opened:
        yield opened
