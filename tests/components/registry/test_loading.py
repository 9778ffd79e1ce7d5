"""A downloaded version is what both worlds open: sentence-transformers, and the serving encoder."""

import numpy as np
import pytest

from components.model.encoder import Encoder
from components.registry.registry import Lineage

TEXTS = ["sort the array", "find a path in the graph", "how to order a list"]


def test_sentence_transformers_opens_a_version(registry, exported_tiny_model, tmp_path):
    from sentence_transformers import SentenceTransformer

    registry.publish_model(exported_tiny_model, None, Lineage(base_model="tiny"))
    registry.download("model", "V0", tmp_path / "V0")
    assert {"README.md", "version.json", "encoder.json"} <= {path.name for path in (tmp_path / "V0").iterdir()}
    theirs = SentenceTransformer(str(tmp_path / "V0"), device="cpu", local_files_only=True).encode(TEXTS)
    ours = Encoder.open(tmp_path / "V0").encode(TEXTS)
    cosines = (theirs * ours).sum(axis=1) / np.linalg.norm(theirs, axis=1) / np.linalg.norm(ours, axis=1)
    assert cosines == pytest.approx(1.0, abs=1e-3)
