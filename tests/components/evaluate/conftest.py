"""Small evaluation sets."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.dataset.evaluation_set import EvaluationSet, open_evaluation_set
from tests.factories.evaluation_sets import write_beir_folder


@pytest.fixture(scope="session")
def beir_folder() -> Callable[..., Path]:
    """Writes a BEIR folder."""
    return write_beir_folder


@pytest.fixture
def evaluation_set(tmp_path) -> EvaluationSet:
    """The small default set."""
    return open_evaluation_set(write_beir_folder(tmp_path / "set"))
