"""A predictor as the manifest runs it, memory limit included, for clients that mean it ill."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.kserve.running import RunningPredictor, running

MANIFEST = Path(__file__).parents[2] / "kserve" / "inference-service.yaml"
UNITS = {"Mi": 1 << 20, "Gi": 1 << 30}
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
def limited(
    exported_tiny_model: Path, tmp_path_factory: pytest.TempPathFactory, memory_limit: int
) -> Iterator[RunningPredictor]:
    """A predictor under RLIMIT_DATA, which needs no privilege: its heap and all its other private memory together.

    RLIMIT_AS would count the 1.2 GB of libraries that are mapped and for the most part never read.
    """
    with running(exported_tiny_model, tmp_path_factory.mktemp("hostile"), *TIMES, memory_limit=memory_limit) as started:
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
