"""Argo's workflow of a run, as Kubeflow Pipelines 2.17 makes and keeps it, as far as `submit --follow` reads it."""

import base64
import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

NAME = "ranklift-x7k2p"
START = datetime(2026, 11, 24, 10, 0, tzinfo=UTC).timestamp()


def moment(seconds: float) -> str:
    """A time of the workflow, in seconds from its start, as Kubernetes writes it."""
    return datetime.fromtimestamp(START + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class WorkflowNodes:
    """Makes nodes; ids are the node names' FNV-1a hashes, as Argo's are."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, Any]] = {}
        self.time = 0.0
        self._node("", "Retry", "entrypoint", "Running")
        self._node("(0)", "DAG", "entrypoint", "Running")

    def stage(
        self,
        task: str,
        phase: str = "Succeeded",
        *,
        pods: Sequence[tuple[str, str]] = (("Succeeded", ""),),
        cached: bool = False,
        driver: tuple[str, str] = ("Succeeded", ""),
        within: str = "(0).root(0)",
    ) -> None:
        """A stage: its driver, the layers around its pods, and a pod for each of (phase, message)."""
        outputs = [{"name": "cached-decision", "value": str(cached).lower()}, {"name": "condition", "value": "true"}]
        ended = driver[0] in {"Succeeded", "Failed"}
        self._node(f"{within}.{task}-driver", "Retry", "system-container-driver", driver[0])
        self.pod_node(f"{within}.{task}-driver(0)", "system-container-driver", driver, 3.0, outputs if ended else None)
        if driver[0] != "Succeeded":
            return
        stage = f"{within}.{task}"
        self._node(stage, "Retry", "retry-system-container-executor", phase)
        self._node(f"{stage}(0)", "DAG", "retry-system-container-executor", phase)
        if cached:
            self._node(f"{stage}(0).executor", "Skipped", "", "Skipped")
            return
        self._node(f"{stage}(0).executor", "Retry", "retry-system-container-impl", phase)
        for number, pod in enumerate(pods):
            self.pod_node(f"{stage}(0).executor({number})", "retry-system-container-impl", pod, 60.0)

    def condition(self, task: str, holds: bool) -> None:
        """A condition: KFP's driver for it, and the layer around what it decides about."""
        outputs = [{"name": "condition", "value": str(holds).lower()}]
        self.pod_node(f"(0).root(0).{task}-driver(0)", "system-dag-driver", ("Succeeded", ""), 3.0, outputs)
        kind, phase = ("DAG", "Running") if holds else ("Skipped", "Skipped")
        self._node(f"(0).root(0).{task}", kind, f"comp-{task}", phase)

    def loop(self, task: str, rounds: int) -> list[str]:
        """A loop: KFP's driver for it, and a layer for each round; the paths of what is in the rounds."""
        path = f"(0).root(0).{task}"
        self._node(path, "Retry", f"comp-{task}-{task}-iterator", "Running")
        self._node(f"{path}(0)", "DAG", f"comp-{task}-{task}-iterator", "Running")
        self.pod_node(f"{path}(0).iteration-driver(0)", "system-dag-driver", ("Succeeded", ""), 3.0)
        inside = [f"{path}(0).iteration-iterations({number}:{number})(0)" for number in range(rounds)]
        for each in inside:
            self._node(each, "DAG", f"comp-{task}-iteration", "Running")
            self.pod_node(f"{each}.iteration-item-driver(0)", "system-dag-driver", ("Succeeded", ""), 3.0)
            self._node(f"{each}.iteration-item(0)", "DAG", f"comp-{task}", "Running")
        return [f"{each}.iteration-item(0)" for each in inside]

    def workflow(self) -> dict[str, Any]:
        """The workflow so far."""
        return {
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
            "metadata": {"name": NAME, "namespace": "kubeflow"},
            "status": {"phase": "Running", "nodes": {node["id"]: dict(node) for node in self.nodes.values()}},
        }  # fmt: skip

    def compressed(self) -> dict[str, Any]:
        """The workflow so far, as Argo writes it once it is large."""
        workflow = self.workflow()
        nodes = json.dumps(workflow["status"].pop("nodes")).encode()
        workflow["status"]["compressedNodes"] = base64.b64encode(gzip.compress(nodes)).decode()
        return workflow

    def pod(self, task: str, number: int = 0, within: str = "(0).root(0)") -> str:
        """The name of a stage's pod."""
        hashed = fnv1a(f"{NAME}{within}.{task}(0).executor({number})")
        return f"{NAME}-retry-system-container-impl-{hashed}"

    def _node(self, path: str, kind: str, template: str, phase: str) -> dict[str, Any]:
        name = f"{NAME}{path}"
        node = {
            "id": NAME if not path else f"{NAME}-{fnv1a(name)}", "name": name, "displayName": name.rpartition(".")[2],
            "type": kind, "templateName": template, "phase": phase, "startedAt": moment(self.time),
        }  # fmt: skip
        self.nodes[name] = node
        return node

    def pod_node(self, path: str, template: str, outcome: tuple[str, str], seconds: float, outputs: Any = None) -> None:
        """A pod, at a path below the workflow's name; it takes so many seconds when it ends."""
        phase, message = outcome
        node = self._node(path, "Pod", template, phase) | ({"message": message} if message else {})
        if phase in {"Succeeded", "Failed", "Error"}:
            self.time += seconds
            node["finishedAt"] = moment(self.time)
        if outputs is not None:
            node["outputs"] = {"parameters": outputs}
        self.nodes[node["name"]] = node


def fnv1a(text: str) -> int:
    """The 32-bit FNV-1a hash with which Argo makes ids of names."""
    value = 2166136261
    for byte in text.encode():
        value = (value ^ byte) * 16777619 % 2**32
    return value
