"""A cluster in which all is well, and doctor asked about it."""

import json

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from tests.standins.doctor_cluster import healthy_cluster
from tests.standins.kubernetes_api import serving

MACHINE = (
    "RANKLIFT_S3_ENDPOINT", "RANKLIFT_KFP_ENDPOINT", "KF_PIPELINES_ENDPOINT", "KUBERNETES_SERVICE_HOST",
    "RANKLIFT_KUBERNETES_NAMESPACE", "RANKLIFT_KUBERNETES_CONTEXT",
)  # fmt: skip


@pytest.fixture
def cluster(registry, tmp_path, monkeypatch):
    """A cluster in which all is well."""
    for name in MACHINE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RANKLIFT_HOME", str(tmp_path / "home"))
    cluster = healthy_cluster(registry, tmp_path)
    with serving(cluster, tmp_path) as environment:
        monkeypatch.setenv("KUBECONFIG", environment["KUBECONFIG"])
        yield cluster


def doctor(*arguments, named=("--namespace", "ranklift")):
    """The status, and what was found by each check."""
    result = CliRunner().invoke(app, ["doctor", *named, "--json", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, {item["check"]: item for item in json.loads(result.stdout)}


def change_service(change):
    """Something that changes the InferenceService."""

    def act(cluster):
        service = cluster.get("inferenceservices", "ranklift", "ranklift")
        change(service)
        cluster.put("inferenceservices", service)

    return act
