"""As whom a pod speaks to its cluster."""

import pytest
from kubernetes.client import Configuration

from components.kubernetes.account import VARIABLE, in_a_pod, load_account
from components.kubernetes.api import KubernetesApi
from components.kubernetes.errors import KubernetesError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A mounted account, in a pod."""
    (tmp_path / "token").write_text("of-deploy")
    (tmp_path / "ca.crt").write_text("certificate")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return tmp_path


def test_load_account_with_a_mounted_token_speaks_as_that_account(folder):
    configuration = Configuration()
    load_account(configuration)
    assert configuration.host == "https://10.96.0.1:443"
    assert configuration.get_api_key_with_prefix("authorization") == "bearer of-deploy"
    assert configuration.ssl_ca_cert == str(folder / "ca.crt")


def test_connect_without_the_token_that_was_named_says_what_is_to_be_mounted(folder):
    (folder / "token").unlink()
    with pytest.raises(KubernetesError, match=f"{VARIABLE} names {folder}, where there is no token: the Secret"):
        KubernetesApi.connect()


@pytest.mark.parametrize(
    ("host", "account", "expected"),
    [
        pytest.param("10.96.0.1", "mounted", True, id="pod-with-an-account-of-its-own"),
        pytest.param("10.96.0.1", "", False, id="pod-without-a-token"),
        pytest.param("", "mounted", False, id="laptop"),
    ],
)
def test_in_a_pod_is_true_where_there_is_a_cluster_and_an_account(monkeypatch, host, account, expected):
    for name, value in (("KUBERNETES_SERVICE_HOST", host), (VARIABLE, account)):
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    assert in_a_pod() is expected
