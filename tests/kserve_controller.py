"""What KServe in Standard mode, the kubelet and the cluster's network do with an InferenceService, for the tests.

As in KServe, `Ready` stays true through a rollout while pods of before serve, `observedGeneration` is the
Deployment's, and a canary gets a Service of its own.
"""

import json
import threading
from typing import Any

from components.deploy.inference_service import canary_of, revision_of
from tests.kubernetes_api import Cluster, Key

LABEL = "serving.kserve.io/inferenceservice"


class KServe:
    """Acts on every apply, in a thread of its own."""

    def __init__(self, cluster: Cluster, digests: dict[str, str]) -> None:
        self.cluster = cluster
        self.digests = digests  # version → digest of the model that its pods serve
        self.faults: dict[str, str] = {}  # version → what its pods do instead of serving
        self.asked: list[tuple[str, str]] = []  # (host, version that answered)
        self.rollouts: list[str] = []  # versions whose pods were started, in order
        self.hosts: dict[str, list[str]] = {}  # host → versions of the ready pods behind it
        self._turn = 0
        cluster.on_apply = self.reconcile
        cluster.network = self.answer

    def install(self, service: dict[str, Any]) -> None:
        """`kubectl apply` of the manifest, and its pods up."""
        self.cluster.put("inferenceservices", service)
        key = ("inferenceservices", service["metadata"]["namespace"], service["metadata"]["name"])
        self._roll_out(key, service, wait=True)

    def reconcile(self, key: Key, service: dict[str, Any]) -> None:
        threading.Thread(target=self._roll_out, args=(key, service)).start()

    def _roll_out(self, key: Key, service: dict[str, Any], wait: bool = False) -> None:
        canary, stable = canary_of(service), revision_of(service)
        host = f"{key[2]}-predictor.{key[1]}.svc.cluster.local"
        canary_host = f"{key[2]}-canary-predictor.{key[1]}.svc.cluster.local"
        statuses = []
        if canary is None:
            self.hosts.pop(canary_host, None)
        else:
            ready = self._start(key, canary.version, canary_host)
            statuses = [{"name": "canary", "ready": ready, "trafficPercent": 10}]
        serves = self.hosts.get(host, [])
        if serves != [stable.version]:
            self._start(key, stable.version, host)
        self._report(key, bool(self.hosts.get(host)), statuses)

    def _start(self, key: Key, version: str, host: str) -> bool:
        """Start a version's pod beside those of before, which leave once it serves."""
        self.rollouts.append(version)
        fault = self.faults.get(version, "")
        pod = _pod(key, version)
        if fault == "slow":
            pod["status"] = _state(state={"running": {}}, ready=False)
            self.cluster.put("pods", pod)
            return False
        if fault in POD_FAULTS:
            pod["status"] = POD_FAULTS[fault]
            self.cluster.put("pods", pod)
            return False
        self.cluster.put("pods", pod)
        self.hosts[host] = [*self.hosts.get(host, []), version]  # both answer for a moment
        self._report(key, True, [])
        self.hosts[host] = [version]
        return True

    def _report(self, key: Key, ready: bool, canaries: list[dict[str, Any]]) -> None:
        host = f"http://{key[2]}-predictor.{key[1]}.svc.cluster.local"
        conditions = [{"type": name, "status": str(ready)} for name in ("PredictorReady", "IngressReady", "Ready")]
        status = {"observedGeneration": 1, "conditions": conditions, "address": {"url": host},
                  "url": "http://ranklift-ranklift.example.com", "canaryStatuses": canaries}  # fmt: skip
        if key in self.cluster.objects:
            self.cluster.set_status(*key, status)

    def answer(self, host: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """The predictor's pods behind a Service, in turn."""
        versions = self.hosts.get(host, [])
        if not versions:
            return 503, {"error": "no endpoints"}
        self._turn += 1
        version = versions[self._turn % len(versions)]
        self.asked.append((host, version))
        if self.faults.get(version) == "wrong answers":
            return 200, {"index": 7, "score": 0.5, "model_version": version}
        if path == "/find_similar":
            assert json.loads(body)["documents"]
            return 200, {"index": 0, "score": 0.5, "model_version": version}
        return 200, {"name": "ranklift", "model_version": version, "model_digest": self.digests[version]}


def _state(**state: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "kserve-container", "image": "r.example.com/predictor:1", **state}]}


POD_FAULTS: dict[str, dict[str, Any]] = {
    "image": _state(state={"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown"}}),
    "memory": _state(
        state={"waiting": {"reason": "CrashLoopBackOff"}},
        lastState={"terminated": {"reason": "OOMKilled", "exitCode": 137}},
    ),
    "crash": _state(
        state={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
        lastState={"terminated": {"reason": "Error", "exitCode": 3}},
    ),
    "storage": {
        "initContainerStatuses": [
            {"name": "storage-initializer", "state": {"waiting": {"reason": "CrashLoopBackOff"}},
             "lastState": {"terminated": {"reason": "Error", "exitCode": 1}}}
        ]
    },
    "unschedulable": {
        "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
             "message": "0/3 nodes are available: 3 Insufficient cpu."}
        ]
    },
}  # fmt: skip


def _pod(key: Key, version: str) -> dict[str, Any]:
    return {
        "metadata": {"name": f"ranklift-{version.lower()}", "namespace": key[1], "labels": {LABEL: key[2]}},
        "spec": {
            "containers": [
                {
                    "name": "kserve-container",
                    "env": [{"name": "RANKLIFT_PREDICTOR_MODEL_VERSION", "value": version}],
                    "resources": {"limits": {"memory": "1Gi"}},
                }
            ]
        },
        # It ran out of memory once, and has served since.
        "status": _state(state={"running": {}}, ready=True, lastState={"terminated": {"reason": "OOMKilled"}}),
    }
