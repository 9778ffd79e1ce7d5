"""Manifests as `kubectl kustomize` renders them, from a copy of the folder that has keys in it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
MANIFESTS = PROJECT / "manifests"
#: What our manifests are checked against; KServe 0.21 asks for 1.32 or newer, kind-config.yaml runs 1.35.
KUBERNETES = ("1.33", "1.34", "1.35")
#: Kinds that neither Kubernetes nor an SDK of KServe describes; the tests read them one by one.
FOREIGN = {
    "gateway.networking.k8s.io/v1",
    "gateway.envoyproxy.io/v1alpha1",
    "cert-manager.io/v1",
}

Document = dict[str, Any]


def find_kubectl() -> str:
    """The `kubectl` of this machine; the test fails with one sentence where there is none."""
    beside = Path(sys.executable).with_name("kubectl")
    found = os.environ.get("KUBECTL") or shutil.which("kubectl") or (str(beside) if beside.is_file() else None)
    if found is None:
        pytest.fail("There is no kubectl on the PATH: install it, or run `make kubectl`.", pytrace=False)
    return found


def copy_with_keys(folder: Path) -> Path:
    """A copy of manifests/ in `folder`, with keys in place of those that git ignores."""
    copied = folder / "manifests"
    shutil.copytree(MANIFESTS, copied, ignore=shutil.ignore_patterns("*.env", "__pycache__"))
    subprocess.run([sys.executable, str(copied / "kind.py"), "secrets"], check=True, capture_output=True)
    return copied


def render(kubectl: str, folder: Path) -> list[Document]:
    """The documents that a kustomization gives."""
    result = subprocess.run(
        [kubectl, "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    return [document for document in yaml.safe_load_all(result.stdout) if document]


def find(documents: Iterable[Document], kind: str, name: str, namespace: str | None = None) -> Document:
    """The one document of that kind, name and namespace."""
    (found,) = (
        document
        for document in documents
        if document["kind"] == kind
        and document["metadata"]["name"] == name
        and namespace in (None, document["metadata"].get("namespace"))
    )
    return found


def validate(document: Document, version: str) -> None:
    """Raise unless Kubernetes of that version knows every field of the document, and each has the right type."""
    kubernetes_validate().validate(document, version, strict=True)


@cache
def kubernetes_validate() -> ModuleType:
    """The library, imported for the tests that need it: it compiles 38 grammars, whatever of them is used."""
    import kubernetes_validate
    import kubernetes_validate.utils

    # Each call would parse the definitions of all kinds anew.
    kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)
    return kubernetes_validate
