"""Real databases, and an index version to put into them."""

import time
import uuid

import numpy as np
import pytest

from components.index.sinks.publish import Probes
from components.index.sinks.sink import Content, Passages, SinkError
from components.index.sinks.uri import open_sink
from tests.standins.milvus import milvus
from tests.standins.opensearch import OpenSearchServer, opensearch
from tests.standins.postgres import postgres

DIMENSION = 24


class Version:
    """An index version with random vectors, the same for the same seed."""

    def __init__(self, version, *, count=300, dimension=DIMENSION, seed=0, texts=True):
        random = np.random.default_rng(seed)
        rows = random.standard_normal((count, dimension), dtype=np.float32)
        self.vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        self.ids = [f"passage {number} of {version}" for number in range(count)]
        self.texts = [f"The text — {number} — of {version}" for number in range(count)] if texts else None
        self.content = Content(
            version=version,
            digest=f"{seed:064x}",
            model_version=f"V{seed}",
            model_digest=f"{seed + 1:064x}",
            dimension=dimension,
            count=count,
        )

    def passages(self, at_once=100):
        for start in range(0, len(self.ids), at_once):
            rows = slice(start, start + at_once)
            yield Passages(self.ids[rows], self.vectors[rows], self.texts[rows] if self.texts else None)

    def probes(self, count=20):
        queries = self.vectors[:count]
        scores = queries @ self.vectors.T
        order = np.argsort(-scores, axis=1)[:, :10]
        exact = [
            [(self.ids[place], float(row[place])) for place in best] for row, best in zip(scores, order, strict=True)
        ]
        return Probes(queries, exact)


@pytest.fixture(scope="session")
def postgres_server():
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory):
    with milvus(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture(scope="session")
def opensearch_server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, opensearch(tmp_path_factory.mktemp("opensearch")) as server:
        patch.delenv("RANKLIFT_OPENSEARCH_PASSWORD", raising=False)  # would be sent instead of that of the URI
        yield server


@pytest.fixture(params=["postgres", "milvus", pytest.param("opensearch", marks=pytest.mark.opensearch)])
def database(request):
    """A running database of each kind; one that a test killed runs again for the next."""
    server = request.getfixturevalue(f"{request.param}_server")
    if server.process.poll() is not None:
        server.start()
    return server


@pytest.fixture
def uri(database):
    """A sink's URI with a name that no other test has."""
    name = f"t{uuid.uuid4().hex[:12]}"
    if isinstance(database, OpenSearchServer):
        database.admit(name)
    return f"{database.uri}{'&' if '?' in database.uri else '?'}name={name}"


@pytest.fixture
def sink(uri):
    with_connection = opened(uri)
    yield with_connection
    with_connection.close()


def opened(uri):
    """The sink, once its client finds the server: gRPC waits before it looks again for one that was gone."""
    end = time.monotonic() + 60
    while True:
        try:
            sink = open_sink(uri)
            sink.current()
        except SinkError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return sink
