import shutil

import pytest

from components.registry import Lineage
from components.served_model import EncoderConfig
from tests.model_versions import make_model


@pytest.fixture
def versions(registry, exported_tiny_model, tmp_path):
    """A registry with two models that work, V0 and V1 (which reads fewer tokens), and V2, which nothing can open."""
    first = shutil.copytree(exported_tiny_model, tmp_path / "first")
    second = shutil.copytree(exported_tiny_model, tmp_path / "second")
    EncoderConfig.of(second).model_copy(update={"max_seq_length": 16}).write(second / "encoder.json")
    for model in (first, second, make_model(tmp_path / "broken")):
        registry.publish_model(model, None, Lineage())
    return registry
