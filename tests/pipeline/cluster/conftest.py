"""Kubeflow Pipelines as a server on loopback, and an environment that names nothing else."""

import pytest

from tests.standins.pipelines_api import Pipelines, serving

NAMES = ("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_UI_ENDPOINT", "RANKLIFT_S3_ENDPOINT", "http_proxy", "KUBECONFIG")


@pytest.fixture
def pipelines():
    return Pipelines()


@pytest.fixture
def endpoint(pipelines, monkeypatch, tmp_path):
    """The URL of the server; the home of this user is an empty folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    with serving(pipelines) as url:
        yield url
