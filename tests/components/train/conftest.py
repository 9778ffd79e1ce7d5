import pytest

from components.prepare.options import PrepareOptions
from components.prepare.stage import prepare
from components.train.loop.fit import train_model
from components.train.options import TrainOptions
from tests.factories.datasets import write_triplets
from tests.standins.kubernetes_api import serving
from tests.standins.kubernetes_state import Cluster

QUICK = TrainOptions(epochs=4, batch_size=16, learning_rate=2e-3, precision="fp32")


@pytest.fixture(scope="session")
def dataset(tiny_model, tmp_path_factory):
    """A dataset version that the tiny model can learn."""
    directory = tmp_path_factory.mktemp("learnable")
    source = write_triplets(directory / "triplets.csv", 400)
    prepare(str(source), directory / "dataset", PrepareOptions(base_model=str(tiny_model), evaluation_queries=60))
    return directory / "dataset"


@pytest.fixture(scope="session")
def trained(dataset, tmp_path_factory):
    """A model that was trained on it in one go, and the report."""
    output = tmp_path_factory.mktemp("trained") / "model"
    return output, train_model(dataset, output, QUICK)


@pytest.fixture
def store(registry, monkeypatch):
    """A bucket of its own, in an object store that the environment names, as a stage's does."""
    settings = registry.store.settings
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    return registry.store


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A stand-in for Kubernetes, which the environment names."""
    cluster = Cluster()
    with serving(cluster, tmp_path) as environment:
        monkeypatch.setenv("KUBECONFIG", environment["KUBECONFIG"])
        yield cluster
