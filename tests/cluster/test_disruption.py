"""What happens to a cluster happens: pods and nodes go away, stores and servers restart."""

import json
import subprocess
import time

import pytest

from tests.cluster.conftest import NAME, RUNS, SERVING, STORE, figures, ranklift
from tests.cluster.gateway import Gateway
from tests.cluster.kubectl import Kubectl, until
from tests.cluster.runs import Pipelines


def running_pod(kubectl: Kubectl, run: str, stage: str) -> str:
    """The pod in which a stage of a run works now; empty while there is none."""
    for pod in kubectl.items("pod", RUNS, f"pipeline/runid={run}"):
        arguments = json.dumps(pod["spec"]["containers"])
        if (
            pod["status"]["phase"] == "Running"
            and "-driver-" not in pod["metadata"]["name"]
            and _runs(arguments, stage)
        ):
            return str(pod["metadata"]["name"])
    return ""


def _runs(arguments: str, stage: str) -> bool:
    return f'--function_to_execute", "{stage}"' in arguments or f"ranklift-{stage}:" in arguments


def told_run(process: subprocess.Popen[str]) -> str:
    """The run's id, from the first line that `ranklift submit --follow` tells."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("ranklift: run "):
            return line.split()[2]
    raise AssertionError("ranklift submit ended without starting a run")


class TestStages:
    def test_train_whose_pod_is_deleted_is_tried_again_and_the_run_ends_well(
        self, kubectl: Kubectl, pipelines: Pipelines, promotion, inputs
    ):
        long = {**inputs, "epochs": 40.0, "seed": 11, "min_gain": 0.9}
        process = pipelines.start("--follow", inputs=long)
        run = told_run(process)
        pod = until(lambda: running_pod(kubectl, run, "train"), 400, "a pod of train")
        time.sleep(5)
        kubectl("delete", "pod", "-n", RUNS, pod, "--wait=false")
        out, told = process.communicate(timeout=1500)
        assert process.returncode == 1, told
        assert json.loads(out)["verdict"] == "hold"
        assert "  train: attempt 1 ended (" in told
        assert "it is retried" in told

    def test_deploy_whose_pod_is_deleted_ends_with_the_new_version_in_service(
        self, kubectl: Kubectl, pipelines: Pipelines, gateway: Gateway, another: str, registry, inputs
    ):
        untrained = ranklift("deploy", another, "--namespace", SERVING)
        assert untrained.returncode == 0, untrained.stderr
        process = pipelines.start("--follow", inputs={**inputs, "epochs": 3.0})
        run = told_run(process)
        pod = until(lambda: running_pod(kubectl, run, "deploy") or process.poll() is not None, 900, "a pod of deploy")
        if isinstance(pod, bool):
            raise AssertionError(f"the run ended before deploy: {process.communicate()[1]}")
        kubectl("delete", "pod", "-n", RUNS, pod, "--wait=false")
        _, told = process.communicate(timeout=900)
        assert process.returncode == 0, told
        champion = registry.champion()
        assert champion is not None
        assert champion.version not in {"V0", another}
        until(lambda: gateway.version() == champion.version, 120, f"an answer of {champion.version}")


@pytest.mark.usefixtures("service")
class TestServing:
    def test_a_drained_node_with_two_replicas_loses_no_request(self, kubectl: Kubectl, gateway: Gateway):
        scale = {"spec": {"predictor": {"minReplicas": 2}}}
        back = {"spec": {"predictor": {"minReplicas": 1}}}
        patch = ("patch", "inferenceservice", "-n", SERVING, NAME, "--type=merge", "-p")
        kubectl(*patch, json.dumps(scale))
        try:
            until(lambda: ready_pods(kubectl) >= 2, 180, "two pods that are ready")
            with gateway.load() as load:
                drain(kubectl)
                until(lambda: ready_pods(kubectl) >= 2, 180, "two pods that are ready again")
        finally:
            kubectl(*patch, json.dumps(back))
        figures.setdefault("requests while a node is drained", []).append(load.summary())
        assert load.failures == []

    def test_a_predictor_whose_pod_is_deleted_comes_back(self, kubectl: Kubectl, gateway: Gateway):
        kubectl("delete", "pod", "-n", SERVING, "-l", f"serving.kserve.io/inferenceservice={NAME}", timeout=120)
        until(lambda: gateway.version() == "V0", 180, "an answer of V0")

    def test_the_store_is_restarted_and_a_new_predictor_still_gets_its_model(self, kubectl: Kubectl, gateway: Gateway):
        kubectl("rollout", "restart", "-n", STORE, "statefulset/object-store")
        kubectl("delete", "pod", "-n", SERVING, "-l", f"serving.kserve.io/inferenceservice={NAME}", timeout=120)
        kubectl("rollout", "status", "-n", STORE, "statefulset/object-store", "--timeout=180s", timeout=190)
        until(lambda: gateway.version() == "V0", 240, "an answer of V0")


class TestFollow:
    def test_follow_goes_on_when_kfps_api_server_restarts(
        self, kubectl: Kubectl, pipelines: Pipelines, promotion, inputs
    ):
        process = pipelines.start("--follow", inputs={**inputs, "min_gain": 0.8})
        told_run(process)
        kubectl("rollout", "restart", "-n", RUNS, "deployment/ml-pipeline")
        kubectl("rollout", "status", "-n", RUNS, "deployment/ml-pipeline", "--timeout=180s", timeout=190)
        out, told = process.communicate(timeout=900)
        assert process.returncode == 1, told
        assert json.loads(out)["verdict"] == "hold"


def ready_pods(kubectl: Kubectl) -> int:
    pods = kubectl.items("pod", SERVING, f"serving.kserve.io/inferenceservice={NAME}")
    return sum(
        condition["type"] == "Ready" and condition["status"] == "True" and "deletionTimestamp" not in pod["metadata"]
        for pod in pods
        for condition in pod.get("status", {}).get("conditions", [])
    )


def drain(kubectl: Kubectl) -> None:
    """Drain the node of a predictor of all predictors; it takes pods again once the first of them has gone."""
    labels = f"serving.kserve.io/inferenceservice={NAME}"
    pod = kubectl.items("pod", SERVING, labels)[0]
    node, before = pod["spec"]["nodeName"], {item["metadata"]["name"] for item in kubectl.items("pod", SERVING, labels)}
    command = [kubectl.program, "drain", node, f"--pod-selector={labels}", "--delete-emptydir-data", "--timeout=240s"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            until(lambda: gone(kubectl, labels, before), 120, "a predictor that has left the node")
        finally:
            kubectl("uncordon", node)
        said, _ = process.communicate(timeout=250)
        assert process.returncode == 0, said


def gone(kubectl: Kubectl, labels: str, before: set[str]) -> set[str]:
    """The pods of before that are leaving or have left."""
    staying = {
        item["metadata"]["name"]
        for item in kubectl.items("pod", SERVING, labels)
        if "deletionTimestamp" not in item["metadata"]
    }
    return before - staying
