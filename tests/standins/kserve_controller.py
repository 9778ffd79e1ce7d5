"""What KServe in Standard mode, the kubelet and the cluster's network do with an InferenceService, for the tests.

As in KServe, `Ready` stays true through a rollout while pods of before serve, `observedGeneration` is the
Deployment's, and a canary gets a Service of its own, which goes before the HTTPRoute hears of it. The replicas of a
canary follow from its share where it names none, and an autoscaler that was made for one stays.
"""

import json
import math
import threading
from contextlib import suppress
from typing import Any

from components.deploy.cluster.inference_service import canary_entry_of, canary_of, container_of, revision_of
from tests.standins.kubernetes_state import Cluster, Key, RefusalError

LABEL = "serving.kserve.io/inferenceservice"
_CANARY_APP = "isvc.ranklift-canary-predictor"


class KServe:
    """Acts on every apply, in a thread of its own."""

    def __init__(self, cluster: Cluster, digests: dict[str, str]) -> None:
        self.cluster = cluster
        self.digests = digests  # version → digest of the model that its pods serve
        self.indexes: dict[str, str] = {}  # version → index that its pods search
        self.faults: dict[str, str] = {}  # version → what its pods do instead of serving
        self.asked: list[tuple[str, str]] = []  # (host, version that answered)
        self.rollouts: list[str] = []  # versions whose pods were started, in order
        self.hosts: dict[str, list[str]] = {}  # host → versions of the ready pods behind it
        self.cut_off: list[int] = []  # shares of the traffic that went to a canary whose pods or Service were gone
        self.complaint: dict[str, str] = {}  # reason and message of PredictorReady while a version does not come up
        self.pods_linger = False  # whether nobody tells the pods of before to end
        self.gateway_follows = True  # whether the gateway's proxies take over what the route says
        self._turn = 0
        self._one_at_a_time = threading.Lock()
        cluster.on_apply = self.reconcile
        cluster.network = self.answer

    def install(self, service: dict[str, Any]) -> None:
        """`kubectl apply` of the manifest, and its pods up."""
        self.cluster.put("inferenceservices", service)
        key = ("inferenceservices", service["metadata"]["namespace"], service["metadata"]["name"])
        self._roll_out(key, service)

    def reconcile(self, key: Key, service: dict[str, Any]) -> None:
        threading.Thread(target=self._reconcile_latest, args=(key,)).start()

    def _reconcile_latest(self, key: Key) -> None:
        with self._one_at_a_time, suppress(RefusalError):  # it may have been deleted meanwhile
            self._roll_out(key, self.cluster.get(*key))

    def _roll_out(self, key: Key, service: dict[str, Any]) -> None:
        canary, stable = canary_of(service), revision_of(service)
        if stable.index_version:
            # As KServe's own validation does.
            assert not any(item["name"] == "STORAGE_URI" for item in container_of(service)["env"])
        is_reindexed = self.indexes.get(stable.version, "") != stable.index_version
        self.indexes[stable.version] = stable.index_version
        host = f"{key[2]}-predictor.{key[1]}.svc.cluster.local"
        canary_host = f"{key[2]}-canary-predictor.{key[1]}.svc.cluster.local"
        entry = canary_entry_of(service)
        statuses = []
        if canary is None or entry is None or not _replicas(service, entry):
            self._remove_canary(key, canary_host)
        else:
            ready = self.hosts.get(canary_host) == [canary.version]
            if not ready and self._pod_of(canary.version, _CANARY_APP) is None:
                ready = self._start(key, canary.version, canary_host, _CANARY_APP)
            statuses = [{"name": "canary", "ready": ready, "trafficPercent": entry["trafficPercent"]}]
            self._autoscale(key, entry)
        if canary is not None:
            self._report(key, True, statuses)
        serves = self.hosts.get(host, [])
        if serves != [stable.version] or is_reindexed:
            self._start(key, stable.version, host, "isvc.ranklift-predictor", statuses, stable.index_sha256)
        if self.complaint and self.hosts.get(host) != [stable.version]:
            self.report_failure(key)
            return
        share = entry["trafficPercent"] if entry and statuses and statuses[0]["ready"] else None
        self._route(key, share)
        self._report(key, bool(self.hosts.get(host)), statuses)

    def _remove_canary(self, key: Key, host: str) -> None:
        share = self._share(key)
        if self.hosts.pop(host, None) and share:
            self.cut_off.append(share)
        self._end_pods(key, _CANARY_APP)

    def _end_pods(self, key: Key, app: str, but: str = "") -> None:
        for pod in self.cluster.select("pods", key[1], f"app={app}"):
            ended = pod["status"].get("phase") == "Failed"  # evicted: such a pod stays until somebody removes it
            if pod["metadata"]["name"] != but and not self.pods_linger and not ended:
                self.cluster.delete("pods", key[1], pod["metadata"]["name"])

    def _pod_of(self, version: str, app: str) -> dict[str, Any] | None:
        pods = self.cluster.select("pods", "", f"app={app}")
        return next((pod for pod in pods if pod["spec"]["containers"][0]["env"][0]["value"] == version), None)

    def _share(self, key: Key) -> int:
        """Of the traffic, as the gateway's proxies have it."""
        route = self.cluster.objects.get(("httproutes", key[1], key[2]), {})
        return route.get("proxies", 0)

    def _route(self, key: Key, share: int | None) -> None:
        backends = [{"name": f"{key[2]}-predictor", "port": 80}]
        if share is not None:
            backends = [{**backends[0], "weight": 100 - share}, {"name": f"{key[2]}-canary-predictor", "weight": share}]
        found = self.cluster.objects.get(("httproutes", key[1], key[2]), {})
        spec = {"rules": [{"backendRefs": backends}]}
        if found.get("spec") == spec:
            return
        follows = self.gateway_follows
        generation = found.get("metadata", {}).get("generation", 0) + 1
        observed = generation if follows else generation - 1
        self.cluster.put(
            "httproutes",
            {
                "metadata": {"name": key[2], "namespace": key[1]},
                "spec": spec,
                "status": {"parents": [{"conditions": [{"type": "Accepted", "observedGeneration": observed}]}]},
                "proxies": (share or 0) if follows else found.get("proxies", 0),
            },
        )

    def _autoscale(self, key: Key, entry: dict[str, Any]) -> None:
        annotations = entry["predictor"].get("annotations", {})
        if annotations.get("serving.kserve.io/autoscalerClass", "hpa") == "hpa":
            name = f"{key[2]}-canary-predictor"
            self.cluster.put("horizontalpodautoscalers", {"metadata": {"name": name, "namespace": key[1]}})

    def _start(
        self,
        key: Key,
        version: str,
        host: str,
        app: str,
        canaries: list[dict[str, Any]] | None = None,
        index: str = "",
    ) -> bool:
        """Start a version's pod beside those of before, which leave once it serves."""
        self.rollouts.append(version)
        fault = self.faults.get(version, "")
        pod = _pod(key, version, app, index)
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
        self._report(key, True, canaries or [])
        self.hosts[host] = [version]
        self._end_pods(key, app, but=pod["metadata"]["name"])
        return True

    def report_failure(self, key: Key) -> None:
        """Call the predictor not ready, with the complaint, whatever pods of before serve."""
        status = self.cluster.get(*key).get("status", {})
        ready = {"type": "PredictorReady", "status": "False", **self.complaint}
        self.cluster.set_status(*key, {**status, "conditions": [ready, {"type": "Ready", "status": "False"}]})

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
        if path == "/search":
            return self._searched(version)
        return 200, {"name": "ranklift", "model_version": version, "model_digest": self.digests[version]}

    def _searched(self, version: str) -> tuple[int, dict[str, Any]]:
        fault = self.faults.get(version) or self.faults.get(f"{version} with index {self.indexes.get(version)}")
        index = "V9" if fault == "another index" else self.indexes.get(version)
        if not index:
            return 404, {"error": f"Model {version} is in service without an index."}
        hits = [] if fault == "no hits" else [{"id": "a", "score": 0.5}]
        return 200, {"hits": hits, "model_version": version, "index_version": index}


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


def _replicas(service: dict[str, Any], entry: dict[str, Any]) -> int:
    """Of a canary, as KServe counts them; an autoscaler never asks for fewer than one."""
    stable, canary = service["spec"]["predictor"], entry["predictor"]
    derived = math.ceil(stable.get("minReplicas", 1) * entry["trafficPercent"] / 100)
    fixed = canary.get("annotations", {}).get("serving.kserve.io/autoscalerClass") == "none"
    return canary.get("minReplicas", derived) if fixed else max(1, derived)


def _pod(key: Key, version: str, app: str = "isvc.ranklift-predictor", index: str = "") -> dict[str, Any]:
    name = f"ranklift-{version.lower()}" if "canary" not in app else f"ranklift-canary-{version.lower()}"
    name += f"-{index[:8]}" if index else ""
    searched = [{"name": "RANKLIFT_PREDICTOR_INDEX_MANIFEST_SHA256", "value": index}] if index else []
    return {
        "metadata": {"name": name, "namespace": key[1], "labels": {LABEL: key[2], "app": app}},
        "spec": {
            "containers": [
                {
                    "name": "kserve-container",
                    "env": [{"name": "RANKLIFT_PREDICTOR_MODEL_VERSION", "value": version}, *searched],
                    "resources": {"limits": {"memory": "1Gi"}},
                }
            ]
        },
        # It ran out of memory once, and has served since.
        "status": _state(state={"running": {}}, ready=True, lastState={"terminated": {"reason": "OOMKilled"}}),
    }
