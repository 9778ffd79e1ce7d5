"""What Kubeflow Trainer, JobSet and the kubelet do with a TrainJob, for the tests.

As the runtime torch-distributed has it, each node's container gets the variables of torchrun, the job's own beside
them, and the values of Secrets; it is called `node`, and its pod has JobSet's labels.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.standins.kubernetes_state import Cluster, Key


class Node(NamedTuple):
    """One node of a TrainJob, as its container sees it."""

    index: int
    command: list[str]
    environment: dict[str, str]
    stopped: threading.Event  # set when its pod is deleted
    log: Callable[[str], None]


class Trainer:
    """Acts on every TrainJob that is created, in threads of its own.

    Args:
        cluster: where.
        secrets: name of a Secret → its data.
        run: what a node's container does; returns its exit code.
    """

    def __init__(self, cluster: Cluster, secrets: dict[str, dict[str, str]], run: Callable[[Node], int]) -> None:
        self.cluster = cluster
        self.secrets = secrets
        self.run = run
        self.fault: dict[str, Any] = {}  # what a pod's status says instead of running
        self.suspended = False
        self.jobs: list[dict[str, Any]] = []
        self._stopped: dict[Key, threading.Event] = {}
        self._threads: list[threading.Thread] = []
        cluster.on_create = self.start
        cluster.on_delete = self.stop

    def start(self, key: Key, job: dict[str, Any]) -> None:
        self.jobs.append(job)
        self._stopped[key] = threading.Event()
        if self.suspended:
            self.cluster.set_status(*key, {"conditions": [{"type": "Suspended", "status": "True"}]})
        thread = threading.Thread(target=self._train, args=(key, job))
        self._threads.append(thread)
        thread.start()

    def stop(self, key: Key) -> None:
        self._stopped[key].set()
        for pod in self.cluster.select("pods", key[1], f"jobset.sigs.k8s.io/jobset-name={key[2]}"):
            self.cluster.delete("pods", key[1], pod["metadata"]["name"])

    def end(self) -> None:
        """Stop all jobs and wait for their threads."""
        for stopped in self._stopped.values():
            stopped.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _train(self, key: Key, job: dict[str, Any]) -> None:
        stopped, port = self._stopped[key], free_port()
        if self.suspended:
            return
        count = job["spec"]["trainer"]["numNodes"]
        nodes = [self._node(key, job["spec"]["trainer"], index, count, port) for index in range(count)]
        for node in nodes:
            self._put_pod(key, node.index, {"running": {}})
        if self.fault:
            return
        codes: dict[int, int] = {}
        threads = [threading.Thread(target=lambda n=node: codes.update({n.index: self.run(n)})) for node in nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if stopped.is_set():
            return
        for index, code in codes.items():
            reason = "Completed" if code == 0 else "OOMKilled" if code == 137 else "Error"
            self._put_pod(key, index, {"terminated": {"exitCode": code, "reason": reason}})
        failed = any(codes.values())
        condition = {
            "type": "Failed" if failed else "Complete", "status": "True",
            "reason": "FailedJobs" if failed else "AllJobsCompleted",
            "message": f"jobset failed due to one or more job failures (first failed job: {key[2]}-node-0)"
            if failed else "jobset completed successfully",
        }  # fmt: skip
        self.cluster.set_status(*key, {"conditions": [condition]})

    def _node(self, key: Key, trainer: dict[str, Any], index: int, count: int, port: int) -> Node:
        given = {item["name"]: item.get("value") or self._secret(item["valueFrom"]) for item in trainer["env"]}
        torchrun = {
            "PET_NNODES": str(count), "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
            "PET_NODE_RANK": str(index), "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(port),
        }  # fmt: skip
        assert not given.keys() & torchrun.keys(), "Trainer refuses a job that sets these"
        where = (pod_name(key, index), "node")
        self.cluster.logs[where] = ""

        def log(line: str) -> None:
            self.cluster.logs[where] += line

        return Node(index, trainer["command"], given | torchrun, self._stopped[key], log)

    def _secret(self, source: dict[str, Any]) -> str:
        reference = source["secretKeyRef"]
        return self.secrets[reference["name"]][reference["key"]]

    def _put_pod(self, key: Key, index: int, state: dict[str, Any]) -> None:
        labels = {"jobset.sigs.k8s.io/jobset-name": key[2], "batch.kubernetes.io/job-completion-index": str(index)}
        running = {"phase": "Running", "containerStatuses": [{"name": "node", "state": state}]}
        meta = {"name": pod_name(key, index), "namespace": key[1], "labels": labels}
        self.cluster.put("pods", {"metadata": meta, "spec": {}, "status": self.fault or running})


def pod_name(key: Key, index: int) -> str:
    return f"{key[2]}-node-0-{index}-x7k2p"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def in_processes(folder: Path) -> Callable[[Node], int]:
    """Run each node's command as a process of this machine, with nothing of this process's settings."""

    def run(node: Node) -> int:
        own = folder / f"node-{node.index}"
        own.mkdir(exist_ok=True)
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("RANKLIFT_", "AWS_", "KUBE"))
        }
        environment = inherited | node.environment | {
            "TMPDIR": str(own), "RANKLIFT_CACHE": str(own / "cache"), "GLOO_SOCKET_IFNAME": "lo",
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, *node.command[1:]],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=lambda: (node.stopped.wait(), process.terminate()), daemon=True).start()
        for line in process.stdout:
            node.log(line)
        return process.wait()

    return run
