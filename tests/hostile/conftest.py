"""A predictor as the manifest runs it, memory limit included, for clients that mean it ill."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from components.model.served import EncoderConfig
from tests.factories.index_versions import make_index
from tests.kserve.running import RunningPredictor, running

MANIFEST = Path(__file__).parents[2] / "kserve" / "inference-service.yaml"
UNITS = {"Mi": 1 << 20, "Gi": 1 << 30}
PASSAGES = 20_000
# As little time as the tests can do with; every other setting is the default.
TIMES = ("--body_timeout", "2", "--write_timeout", "2", "--timeout-keep-alive", "2", "--drain_timeout", "6")


def manifest_memory_limit() -> int:
    """Bytes that a pod of the manifest may have."""
    (container,) = yaml.safe_load(MANIFEST.read_text())["spec"]["predictor"]["containers"]
    limit = container["resources"]["limits"]["memory"]
    return int(limit[:-2]) * UNITS[limit[-2:]]


@pytest.fixture(scope="session")
def memory_limit() -> int:
    return manifest_memory_limit()


@pytest.fixture(scope="session")
def index(exported_tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of 20,000 passages, each with a text, searched through a graph."""
    folder = tmp_path_factory.mktemp("index") / "index"
    config = EncoderConfig.of(exported_tiny_model)
    rows = np.random.default_rng(0).standard_normal((PASSAGES, config.dimension), dtype=np.float32)
    vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    ids = [f"p{number:05}" for number in range(PASSAGES)]
    make_index(folder, vectors, ids, ["x" * 400] * PASSAGES, shard_size=5000, graph="int8", model=config.digest)
    return folder


@pytest.fixture(scope="session")
def limited(
    exported_tiny_model: Path, index: Path, tmp_path_factory: pytest.TempPathFactory, memory_limit: int
) -> Iterator[RunningPredictor]:
    """A predictor under RLIMIT_DATA, which needs no privilege: its heap and all its other private memory together.

    RLIMIT_AS would count the 1.2 GB of libraries that are mapped and for the most part never read.
    """
    folder = tmp_path_factory.mktemp("hostile")
    flags = (*TIMES, "--index_dir", str(index))
    with running(exported_tiny_model, folder, *flags, memory_limit=memory_limit) as started:
        yield started


@pytest.fixture
def survivor(limited: RunningPredictor, memory_limit: int) -> Iterator[RunningPredictor]:
    """The predictor, which must live, answer an honest client, and have stayed within the limit after the test."""
    import httpx

    yield limited
    answer = httpx.post(f"{limited.url}/find_similar", json={"query": "sort", "documents": ["array"]}, timeout=30)
    assert answer.status_code == 200, answer.text
    assert limited.process.poll() is None
    assert limited.memory("VmHWM") < memory_limit
    assert "Traceback" not in limited.log.read_text()
