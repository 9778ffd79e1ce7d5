"""Real parts that several rooms' tests share."""

import atexit
import gc
import re
import shutil
import uuid
from pathlib import Path

import pytest

from components.machine.garbage import spare_collections
from tests.factories.datasets import write_triplets
from tests.factories.models import make_tiny_model

spare_collections()


def pytest_collection_finish():
    """Leave the modules that are imported by now out of every collection but the last."""
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # DuckDB reports as leaks what the last one does not free


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark what drives a browser or needs Docker, which `make test` leaves out, and put files with slow tests first.

    xdist hands out whole files in this order. A file that takes a minute and came last would leave a worker idle.
    """
    for item in items:
        if "browser" in item.fixturenames:
            item.add_marker("browser")
        if "containers" in item.path.parts:
            item.add_marker("containers")
            item.add_marker(pytest.mark.timeout(1200))
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """The directory of a tiny real SentenceTransformer: mean pooling, normalised, dimension 32."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def exported_tiny_model(tiny_model, tmp_path_factory) -> Path:
    """The served form of `tiny_model`, at 32 tokens."""
    from components.export.model import export_model

    directory = tmp_path_factory.mktemp("exported") / "model"
    export_model(tiny_model, directory, texts=["sort the array", "find a path in the graph"], max_seq_length=32)
    return directory


@pytest.fixture(scope="session")
def object_store(tmp_path_factory):
    """The settings of a running S3 server, `weed mini` on loopback, shared by the session; its bucket exists."""
    from components.object_store.embedded import embedded_store

    with embedded_store(tmp_path_factory.mktemp("store")) as settings:
        yield settings


@pytest.fixture
def registry(object_store, request):
    """An empty registry: a bucket of its own for every test."""
    from components.registry.registry import open_registry

    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    return open_registry(object_store.model_copy(update={"bucket": f"{name}-{uuid.uuid4().hex[:8]}"}))


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A stand-in for the model hub, which the hub's own client in this process speaks to."""
    from huggingface_hub import constants

    from tests.standins.hub import Hub

    with Hub() as hub:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, hub.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
        yield hub


@pytest.fixture(scope="session")
def choosable(tiny_model, tmp_path_factory):
    """A dataset version with 40 dev queries."""
    from components.prepare.options import PrepareOptions
    from components.prepare.stage import prepare

    directory = tmp_path_factory.mktemp("choosable")
    source = write_triplets(directory / "triplets.csv", 400)
    options = PrepareOptions(base_model=str(tiny_model), evaluation_queries=60, dev_queries=40)
    prepare(str(source), directory / "dataset", options)
    return directory / "dataset"


@pytest.fixture(scope="session")
def skilled(choosable, tmp_path_factory):
    """A small model that knows the task of `choosable` already."""
    from components.train.loop.fit import train_model
    from components.train.report import TrainOptions

    output = tmp_path_factory.mktemp("skilled") / "model"
    train_model(choosable, output, TrainOptions(epochs=2, batch_size=16, learning_rate=2e-3, precision="fp32"))
    return output


@pytest.fixture(scope="session")
def clumsy(tmp_path_factory):
    """A model that knows nothing, and is larger and slower."""
    return make_tiny_model(tmp_path_factory.mktemp("clumsy"), width=128, layers=6)


@pytest.fixture(scope="session")
def damaged(tiny_model, tmp_path_factory):
    """A model whose weights end in the middle: its JSON files say nothing of that."""
    folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp("damaged") / "model")
    weights = next(folder.rglob("model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    return folder
