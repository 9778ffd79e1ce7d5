"""The nodes of Argo's workflow, in the open or compressed."""

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any

Node = Mapping[str, Any]


def nodes_of(workflow: Mapping[str, Any]) -> list[Node]:
    """Return the nodes of a workflow, as Kubernetes has it or as KFP keeps it.

    Argo compresses them once all would come near the size that Kubernetes allows an object: a run with several base
    models, or with an index that several pods embed, is that large. Source: Argo Workflows,
    ``workflow/packer/packer.go`` (gzip, then base64).
    """
    status = workflow.get("status") or {}
    if compressed := status.get("compressedNodes"):
        nodes: Mapping[str, Node] = json.loads(gzip.decompress(base64.b64decode(compressed)))
    else:
        nodes = status.get("nodes") or {}
    return list(nodes.values())
