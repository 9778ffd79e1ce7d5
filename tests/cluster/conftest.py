"""A cluster that KUBECONFIG names, with our images on its nodes, and what the tests put on it and take away again.

`make test-cluster` runs them. They promote and deploy, so they refuse a cluster that has a champion or an
InferenceService already. These variables say what the cluster is like where it is not like kind:

RANKLIFT_CLUSTER_SETTINGS   the settings of the stages (default: stages.yaml)
RANKLIFT_CLUSTER_SERVICE    the InferenceService's manifest (default: kserve/inference-service.yaml)
RANKLIFT_CLUSTER_RESET      "yes" removes every InferenceService, version and run's artifact of the cluster first
RANKLIFT_CLUSTER_HOST       the predictor's host name (default: ranklift-ranklift.localhost)
"""

import base64
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from components.kubernetes.api import KubernetesApi
from components.kubernetes.forward import PodForward
from components.object_store.client import ObjectStore
from components.object_store.settings import ObjectStoreSettings
from components.registry.registry import Registry
from pipeline.cluster.store import way_to
from tests.cluster.gateway import Gateway, write_certificate
from tests.cluster.kubectl import Document, Kubectl, until
from tests.cluster.runs import Pipelines
from tests.cluster.versions import promote_another
from tests.factories.datasets import write_triplets

PROJECT = Path(__file__).parents[2]
SERVING, RUNS, STORE, PROXIES = "ranklift", "kubeflow", "ranklift-store", "envoy-gateway-system"
NAME = "ranklift"
#: Of this session alone: KFP would take a later session's stages from its cache, and their artifacts are gone by then.
RAW = f"raw/cluster-tests-{uuid.uuid4().hex[:8]}/"
figures: dict[str, list[str]] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a cluster: only `make test-cluster` runs it."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("cluster")
            item.add_marker(pytest.mark.timeout(1800))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for title, lines in figures.items():
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def kubectl() -> Kubectl:
    """The cluster; without one the tests are skipped."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster: `make test-cluster` needs one, such as that of `make kind-up`.")
    found = Kubectl()
    found("get", "--raw", "/readyz", timeout=20)
    return found


@pytest.fixture(scope="session")
def image() -> str:
    """An image that the nodes have, and that has a Python: the predictor's."""
    (container,) = service_manifest()["spec"]["predictor"]["containers"]
    return str(container["image"])


@pytest.fixture(scope="session")
def store(kubectl: Kubectl) -> Iterator[ObjectStore]:
    """The cluster's object store, as its administrator."""
    keys = secret(kubectl, STORE, "object-store-root")
    settings = ObjectStoreSettings.of(
        endpoint=f"http://object-store.{STORE}.svc.cluster.local:9000",
        bucket=NAME,
        access_key=keys["MINIO_ROOT_USER"],
        secret_key=keys["MINIO_ROOT_PASSWORD"],
    )
    # Not through `kubectl port-forward`, which ends when the store closes a connection or its pod goes away.
    api = KubernetesApi.connect()
    with PodForward(api) as forward:
        yield ObjectStore(settings, way_to(api, forward, settings.endpoint))


@pytest.fixture(scope="session")
def registry(kubectl: Kubectl, store: ObjectStore) -> Iterator[Registry]:
    """The cluster's registry, empty at first and empty again at the end."""
    found = Registry(store)
    if os.environ.get("RANKLIFT_CLUSTER_RESET") == "yes":
        remove_everything(kubectl, store)
    champion = found.champion()
    services = kubectl.items("inferenceservice", SERVING)
    if champion is not None or services:
        what = f"champion {champion.version}" if champion else f"the InferenceService {services[0]['metadata']['name']}"
        needed = "the tests promote and deploy, so they need a cluster without, or RANKLIFT_CLUSTER_RESET=yes"
        pytest.exit(f"This cluster has {what}; {needed}.", 2)
    try:
        yield found
    finally:
        remove_everything(kubectl, store)


@pytest.fixture(scope="session")
def inputs(store: ObjectStore, registry: Registry, tiny_model: Path, tmp_path_factory: Any) -> dict[str, object]:
    """Parameters of a run that a tiny base model gains from in seconds; data and base model lie in the store."""
    data = write_triplets(tmp_path_factory.mktemp("data") / "triplets.csv", 600)
    store.put(f"{RAW}triplets.csv", data.read_bytes())
    return {
        "data": f"s3://{NAME}/{RAW}triplets.csv",
        "base_model": put_model(store, tiny_model, "model"),
        "evaluation_queries": 100.0,
        "epochs": 2.0,
        "batch_size": 16,
        "learning_rate": 2e-3,
    }


@pytest.fixture(scope="session")
def pipelines(kubectl: Kubectl) -> Iterator[Pipelines]:
    """Kubeflow Pipelines, and `ranklift submit` to it."""
    settings = Path(os.environ.get("RANKLIFT_CLUSTER_SETTINGS", PROJECT / "stages.yaml"))
    with kubectl.forward(RUNS, "service/ml-pipeline", 8888) as port:
        yield Pipelines(f"http://127.0.0.1:{port}", settings, RUNS)


class Promotion(NamedTuple):
    """The first run of all: it promotes V0 where no InferenceService is yet."""

    document: dict[str, Any]
    told: str


@pytest.fixture(scope="session")
def promotion(pipelines: Pipelines, registry: Registry, inputs: dict[str, object]) -> Promotion:
    """`ranklift submit --follow` on an empty registry."""
    result = pipelines.submit("--follow", inputs=inputs)
    assert result.returncode == 0, result.stderr
    figures["stages of the first run"] = result.stderr.splitlines()[-30:]
    return Promotion(json.loads(result.stdout), result.stderr)


@pytest.fixture(scope="session")
def gateway(kubectl: Kubectl) -> Iterator[Gateway]:
    """The proxies of our Gateway."""
    labels = "gateway.envoyproxy.io/owning-gateway-name=kserve-ingress-gateway"
    (proxy,) = (item["metadata"]["name"] for item in kubectl.items("service", PROXIES, labels))
    certificate = secret(kubectl, "kserve", "kserve-ingress-tls")["tls.crt"]
    host = os.environ.get("RANKLIFT_CLUSTER_HOST", "ranklift-ranklift.localhost")
    with (
        kubectl.forward(PROXIES, f"service/{proxy}", 80) as http,
        kubectl.forward(PROXIES, f"service/{proxy}", 443) as https,
    ):
        yield Gateway(http, https, host, write_certificate(certificate))


@pytest.fixture(scope="session")
def service(kubectl: Kubectl, promotion: Promotion, gateway: Gateway) -> Document:
    """The InferenceService of the first champion, Ready and reached through the gateway."""
    document = service_manifest()
    began = time.monotonic()
    kubectl.apply(document)
    kubectl("wait", "-n", SERVING, "--for=condition=Ready", f"inferenceservice/{NAME}", "--timeout=300s", timeout=310)
    ready = time.monotonic() - began
    until(gateway.version, 60, "an answer through the gateway")
    figures["the first InferenceService"] = [
        f"Ready after {ready:.0f} s, answers after {time.monotonic() - began:.0f} s"
    ]
    return document


@pytest.fixture
def another(registry: Registry, service: Document, tmp_path: Path) -> Iterator[str]:
    """A version that was promoted and is not in service yet; afterwards the first champion serves again."""
    version = promote_another(registry, tmp_path)
    yield version
    ranklift("rollback", "V0", "--namespace", SERVING, "--reason", "the test is over")


def ranklift(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a person does, on the cluster that KUBECONFIG names."""
    program = Path(sys.executable).with_name("ranklift")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RANKLIFT_S3", "AWS_"))}
    return subprocess.run(
        [str(program), *arguments],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=1700,
        check=False,
    )


def put_model(store: ObjectStore, folder: Path, name: str) -> str:
    """Put a base model beside the data of the tests; returns its URI."""
    for path in filter(Path.is_file, folder.rglob("*")):
        store.put(f"{RAW}{name}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return f"s3://{NAME}/{RAW}{name}"


def service_manifest() -> Document:
    """The InferenceService that the tests apply."""
    path = Path(os.environ.get("RANKLIFT_CLUSTER_SERVICE", PROJECT / "kserve" / "inference-service.yaml"))
    document: Document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def secret(kubectl: Kubectl, namespace: str, name: str) -> dict[str, str]:
    """A Secret's values."""
    data = kubectl.json("get", "secret", "-n", namespace, name)["data"]
    return {key: base64.b64decode(value).decode("utf-8") for key, value in data.items()}


def remove_everything(kubectl: Kubectl, store: ObjectStore) -> None:
    """Remove the InferenceServices, and of the bucket: versions, champion, data, checkpoints, the runs' artifacts."""
    kubectl("delete", "inferenceservice", "--all", "-n", SERVING, "--wait=true", timeout=180)
    for prefix in ("models/", "datasets/", "indexes/", "training/", "runs/", RAW, "champion.json"):
        for item in list(store.list(prefix)):
            store.delete(item.key)
