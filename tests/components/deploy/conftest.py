import shutil
from pathlib import Path

import pytest
import yaml

from components.deploy.cluster.deploy import deploy_on_cluster
from components.deploy.cluster.inference_service import container_of
from components.deploy.cluster.rollout import Rollout
from components.deploy.settings import ServingSettings
from components.kubernetes.api import KubernetesApi
from components.model.served import EncoderConfig
from components.registry.registry import Lineage, open_registry
from tests.factories.model_versions import make_model
from tests.standins.kserve_controller import KServe
from tests.standins.kubernetes_api import serving
from tests.standins.kubernetes_state import Cluster

MANIFEST = Path(__file__).parents[3] / "kserve" / "inference-service.yaml"
VERSIONS = ("V0", "V1", "V2")


@pytest.fixture
def versions(registry, exported_tiny_model, tmp_path):
    """A registry with two models that work, V0 and V1 (which reads fewer tokens), and V2, which nothing can open."""
    first = shutil.copytree(exported_tiny_model, tmp_path / "first")
    second = shutil.copytree(exported_tiny_model, tmp_path / "second")
    EncoderConfig.of(second).model_copy(update={"max_seq_length": 16}).write(second / "encoder.json")
    for model in (first, second, make_model(tmp_path / "broken")):
        registry.publish_model(model, None, Lineage())
    return registry


def make_history(registry, folder):
    """A registry whose champion was V0, then V1, then V2."""
    champion = None
    for version in VERSIONS:
        registry.publish_model(make_model(folder / version, version.lower()), None, Lineage())
        champion = registry.move_champion(version, champion)
    return registry


@pytest.fixture(scope="session")
def history(object_store, tmp_path_factory):
    """One for all tests that only read it."""
    settings = object_store.model_copy(update={"bucket": "cluster-history"})
    return make_history(open_registry(settings), tmp_path_factory.mktemp("history"))


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    cluster = Cluster()
    with serving(cluster, tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield cluster


@pytest.fixture
def kserve(cluster, history):
    """KServe, with the manifest of the repository applied and V0 in service."""
    kserve = KServe(cluster, {name: history.manifest("model", name).digest for name in VERSIONS})
    service = yaml.safe_load(MANIFEST.read_text())
    container_of(service)["env"][0]["value"] = f"s3://{history.store.settings.bucket}/models/V0/"
    kserve.install(service)
    return kserve


@pytest.fixture
def deploy(history, kserve):
    """Deploys a version as the stage does, and collects what it tells."""
    told = []

    def run(version, inside=True, **settings):
        chosen = serving_settings(**settings)
        rollout = Rollout(KubernetesApi.connect(), chosen, tick=1, inside=inside, settle=0, blind=0)
        return deploy_on_cluster(version, history, chosen, rollout=rollout, tell=told.append).version

    run.told = told
    return run


def serving_settings(**settings):
    return ServingSettings(**{"kubernetes_namespace": "ranklift", "deploy_within": 20, **settings})


def service_of(cluster):
    return cluster.get("inferenceservices", "ranklift", "ranklift")


def applies(cluster):
    return [request for request in cluster.requests if request.verb == "patch"]
