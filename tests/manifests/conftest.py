"""What kustomize gives, rendered once for all tests."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.manifests.rendering import PROJECT, Document, copy_with_keys, find_kubectl, render

#: The kustomizations that need nothing from the network.
RENDERED = ("overlays/kind", "overlays/cluster", "overlays/kind with seaweedfs")
#: The one line of an overlay that a person changes, and to what.
LINES = {
    "": ("", ""),
    "seaweedfs": ("- ../../store/minio ", "- ../../store/seaweedfs "),
    "train-jobs": ("# - ../../train-jobs ", "- ../../train-jobs "),
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what renders: `make test` needs no kubectl, `make test-manifests` runs just these."""
    for item in items:
        if "kubectl" in getattr(item, "fixturenames", ()):
            item.add_marker("manifests")


@pytest.fixture(scope="session")
def kubectl() -> str:
    return find_kubectl()


@pytest.fixture(scope="session")
def rendered(kubectl: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Document]]:
    """The documents of an overlay, as it stands or `with` one of `LINES`."""
    folder = copy_with_keys(tmp_path_factory.mktemp("rendered"))
    known: dict[str, list[Document]] = {}

    def of(name: str) -> list[Document]:
        if name not in known:
            overlay, _, change = name.partition(" with ")
            kustomization = folder / overlay / "kustomization.yaml"
            written = kustomization.read_text()
            kustomization.write_text(written.replace(*LINES[change]))
            assert bool(change) == (kustomization.read_text() != written)
            known[name] = render(kubectl, folder / overlay)
            kustomization.write_text(written)
        return known[name]

    return of


@pytest.fixture(scope="session")
def inference_service() -> Document:
    return yaml.safe_load(Path(PROJECT / "kserve" / "inference-service.yaml").read_text())


@pytest.fixture(scope="session")
def kind_config() -> Document:
    return yaml.safe_load(Path(PROJECT / "kind-config.yaml").read_text())
