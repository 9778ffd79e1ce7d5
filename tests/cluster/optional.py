"""What only some clusters have of our manifests: the tests add a copy for as long as they run."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.kubectl import Document, Kubectl

MANIFESTS = Path(__file__).parents[2] / "manifests"


def copies(path: str, *kinds: str) -> list[Document]:
    """Return the documents of these kinds in a manifest, under other names: the cluster may have them too."""
    documents: Iterable[Any] = yaml.safe_load_all((MANIFESTS / path).read_text(encoding="utf-8"))
    return [_copy(document) for document in documents if document["kind"] in kinds]


def _copy(document: Document) -> Document:
    meta = document["metadata"]
    copy = {**document, "metadata": {**meta, "name": f"probe-{meta['name']}"}}
    if "roleRef" in document:
        copy["roleRef"] = {**document["roleRef"], "name": f"probe-{document['roleRef']['name']}"}
    return copy


@contextmanager
def added(kubectl: Kubectl, documents: list[Document]) -> Iterator[None]:
    """Apply documents, and delete them at the end."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
    try:
        kubectl("apply", "-f", "-", stdin=text)
        yield
    finally:
        kubectl("delete", "--ignore-not-found", "-f", "-", stdin=text)
