"""submit --follow: what a person is told while a run goes on and at its end, from what KFP and the cluster show."""

import json

import pytest
from typer.testing import CliRunner

from components.deploy.cluster.deploy import _without_a_service
from components.deploy.cluster.inference_service import Revision
from components.records.stage_times import StageTimes
from pipeline.cli import app
from pipeline.cluster.follow import Place, RunFailedError, follow
from pipeline.cluster.pipelines_api import PipelinesApi, PipelinesSettings
from pipeline.cluster.run_outcome import FIRST_CHAMPION
from pipeline.cluster.submit import submit
from tests.factories.decisions import make_decision
from tests.standins.followed_runs import BEFORE, before_the_gate, held, promoted
from tests.standins.kubernetes_api import serving as serving_cluster
from tests.standins.kubernetes_state import Cluster
from tests.standins.workflows import START, WorkflowNodes

BAD_DATA = "main: Error (exit code 1): prepare: clicks.csv has no column positive; name it so."
NO_CPU = "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu."


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def kubeconfig(cluster, endpoint, monkeypatch, tmp_path):
    with serving_cluster(cluster, tmp_path) as environment:
        monkeypatch.setenv("KUBECONFIG", environment["KUBECONFIG"])
        yield cluster


def followed(endpoint, pipelines, *workflows, parameters=(), **options):
    pipelines.workflows = [nodes.workflow() if isinstance(nodes, WorkflowNodes) else nodes for nodes in workflows]
    api = PipelinesApi(PipelinesSettings(endpoint=endpoint))
    lines: list[str] = []
    place = Place(serving="search", service="passages")
    try:
        return follow(api, submit(api, parameters, None), lines.append, place, poll=0.01, **options), lines
    except RunFailedError as error:
        return error, lines


def test_follow_of_a_run_that_holds_gives_the_gates_sentence_and_figures(endpoint, pipelines):
    decision = make_decision(verdict="hold", reason="Held: NDCG@10 0.4210 against 0.4200, p = 0.31.")
    ended, lines = followed(endpoint, pipelines, held(decision, pipelines))
    assert (ended.verdict, ended.reason) == ("hold", "Held: NDCG@10 0.4210 against 0.4200, p = 0.31.")
    assert ended.decision == decision
    assert lines[-2:] == ["  hold …", "  hold done in 63.0 s"]
    assert not any("promote" in line or "condition" in line for line in lines)


def test_follow_of_a_run_that_chooses_tells_every_base_model_as_a_stage(endpoint, pipelines):
    nodes = WorkflowNodes()
    for task in ("candidates", "prepare"):
        nodes.stage(task)
    first, second = nodes.loop("for-loop-1", 2)
    nodes.stage("measure", within=first)
    again = [("Error", "pod deleted"), ("Failed", BAD_DATA.replace("prepare", "measure"))]
    nodes.stage("measure", "Failed", pods=again, within=second)
    pipelines.end = "FAILED"
    ended, lines = followed(endpoint, pipelines, nodes, parameters=["base_models=a/b,c/d"])
    assert "Stage measure 2 failed: clicks.csv has no column positive; name it so." in str(ended)
    assert lines == [
        "  source …", "  source done in 63.0 s",
        "  prepare to choose …", "  prepare to choose done in 63.0 s",
        "  measure 1 …", "  measure 1 done in 63.0 s",
        "  measure 2 …", "  measure 2: attempt 1 ended (pod deleted); it is retried",
        "  measure 2 FAILED in 123.0 s",
    ]  # fmt: skip


def test_follow_through_kfps_ui_reads_the_same(endpoint, pipelines):
    pipelines.is_ui = True
    decision = make_decision(verdict="hold", reason="Held: too small.")
    nodes = held(decision, pipelines)
    pipelines.logs = {nodes.pod(task): "" for task in BEFORE} | pipelines.logs
    pipelines.logs[nodes.pod("hold", within="(0).root(0).condition-2(0)")] = ""
    ended, _ = followed(endpoint, pipelines, nodes)
    assert ended.decision == decision


def test_follow_of_a_first_promotion_tells_cached_stages_and_the_two_commands(endpoint, pipelines):
    nodes = promoted(make_decision(), pipelines, cached=("prepare", "gate"))
    ended, lines = followed(endpoint, pipelines, nodes)
    assert ended.verdict == "promote"
    assert ended.decision == make_decision(), "from promote's log: a cached gate has none"
    assert "  prepare cached" in lines
    assert "  prepare …" not in lines
    assert ended.next == (
        "kubectl apply -f kserve/inference-service.yaml",
        "kubectl wait -n search --for=condition=Ready inferenceservice/passages --timeout=300s",
    )
    assert {stage.stage: stage.status for stage in ended.stages}["prepare"] == "CACHED"


@pytest.mark.parametrize(
    ("champion", "version"),
    [
        pytest.param("V1", "V1", id="another version"),
        pytest.param("V0 with index V0", "V0", id="an index"),
    ],
)
def test_follow_of_a_first_promotion_that_the_manifest_does_not_name_deploys_it(endpoint, pipelines, champion, version):
    nodes = promoted(make_decision(), pipelines)
    pipelines.logs = {
        pod: text.replace("deploy: V0 is", f"deploy: {champion} is") for pod, text in pipelines.logs.items()
    }
    ended, _ = followed(endpoint, pipelines, nodes)
    assert ended.next == (
        "kubectl apply -f kserve/inference-service.yaml",
        f"ranklift deploy {version} --namespace search",
    )


def test_follow_of_a_later_promotion_has_no_commands(endpoint, pipelines):
    nodes = promoted(make_decision(), pipelines)
    pipelines.logs = {pod: text.replace("is the first champion", "answers") for pod, text in pipelines.logs.items()}
    ended, _ = followed(endpoint, pipelines, nodes)
    assert ended.next == ()


def failed(nodes, task, message, **options):
    nodes.stage(task, "Failed", pods=[("Failed", message)], **options)
    return nodes


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        pytest.param(
            BAD_DATA, "Stage prepare failed: clicks.csv has no column positive; name it so. Its log is", id="its own"
        ),
        pytest.param(
            "main: OOMKilled (exit code 137)", r"Stage prepare failed: It ran out of memory \(OOMKilled\)", id="memory"
        ),
        pytest.param("Pod was active on the node longer than the specified deadline", "longer than the", id="deadline"),
    ],
)
def test_follow_of_a_stage_that_failed_gives_its_sentence(endpoint, pipelines, message, sentence):
    pipelines.end = "FAILED"
    error, lines = followed(endpoint, pipelines, failed(WorkflowNodes(), "prepare", message))
    with pytest.raises(RunFailedError, match=sentence):
        raise error
    assert lines == ["  prepare …", "  prepare FAILED in 63.0 s"]
    assert [(stage.stage, stage.status) for stage in error.stages] == [("prepare", "FAILED")]


def test_follow_of_a_stage_that_failed_looks_into_its_log_where_the_status_says_nothing(endpoint, pipelines):
    pipelines.end = "FAILED"
    nodes = failed(WorkflowNodes(), "train", "main: Error (exit code 1)")
    pipelines.logs[nodes.pod("train")] = "10:00:00 ranklift: error: There is no recipe sed; use seed.\nmore\n"
    error, _ = followed(endpoint, pipelines, nodes)
    assert "Stage train failed: There is no recipe sed; use seed. Its log is at http" in str(error)


def test_follow_says_when_neither_kfp_nor_the_cluster_can_be_read(endpoint, pipelines):
    pipelines.end = "FAILED"
    error, _ = followed(endpoint, pipelines, failed(WorkflowNodes(), "train", "main: Error (exit code 1)"))
    assert "has no log of pod ranklift-x7k2p-retry-system-container-impl-" in str(error)
    assert "No Kubernetes cluster is configured" in str(error)


def test_follow_of_a_driver_that_failed_names_the_stage(endpoint, pipelines):
    pipelines.end = "FAILED"
    nodes = WorkflowNodes()
    nodes.stage("export", driver=("Failed", "main: Error (exit code 1): failed to resolve inputs"))
    error, _ = followed(endpoint, pipelines, nodes)
    assert "Stage export failed: failed to resolve inputs. Its log" in str(error)


def test_follow_of_a_run_whose_pods_are_not_let_in_says_who_refused_them(endpoint, pipelines):
    pipelines.end = "FAILED"
    nodes = WorkflowNodes()
    refusal = 'pods "x" is forbidden: a policy denied request: A run\'s pods have the ServiceAccount ranklift-pipeline.'
    nodes.pod_node("(0).root-driver(0)", "system-dag-driver", ("Error", refusal), 0.0)
    error, _ = followed(endpoint, pipelines, nodes)
    assert f"The run ended as FAILED ({refusal[:-1]}); see http" in str(error)


def test_follow_tells_a_pod_that_waits_with_its_reason_once(endpoint, pipelines):
    waiting = WorkflowNodes()
    waiting.stage("train", "Running", pods=[("Pending", NO_CPU)])
    done = held(make_decision(verdict="hold"), pipelines)
    _, lines = followed(endpoint, pipelines, waiting, waiting, waiting, done, patience=0.0)
    assert lines[:2] == ["  train …", f"  train waits: {NO_CPU}"]
    assert sum("waits" in line for line in lines) == 1


def test_follow_does_not_tell_of_a_pod_that_waits_for_a_moment(endpoint, pipelines):
    waiting = WorkflowNodes()
    waiting.stage("train", "Running", pods=[("Pending", NO_CPU)])
    _, lines = followed(endpoint, pipelines, waiting, waiting, held(make_decision(verdict="hold"), pipelines))
    assert not any("waits" in line for line in lines)


FAILED_MOUNT = {"reason": "FailedMount", "message": 'secret "keys" not found', "type": "Warning"}
PULLING = {"reason": "Pulling", "message": 'Pulling image "ranklift-train:1"', "type": "Normal"}


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        pytest.param([FAILED_MOUNT, PULLING], 'FailedMount: secret "keys" not found', id="a warning"),
        pytest.param([PULLING], 'Pulling: Pulling image "ranklift-train:1"', id="what it is at"),
        pytest.param([], "ContainerCreating", id="nothing"),
    ],
)
def test_follow_asks_the_cluster_why_a_pod_starts_for_long(endpoint, pipelines, kubeconfig, events, reason):
    waiting = WorkflowNodes()
    waiting.stage("train", "Running", pods=[("Pending", "ContainerCreating")])
    for number, event in enumerate(events):
        meta = {"name": f"event-{number}", "namespace": "kubeflow"}
        about = {"metadata": meta, "involvedObject": {"name": waiting.pod("train")}, "lastTimestamp": f"{number}"}
        kubeconfig.put("events", about | event)
    done = held(make_decision(verdict="hold"), pipelines)
    _, lines = followed(endpoint, pipelines, waiting, waiting, done, patience=0.0)
    assert f"  train waits: {reason}" in lines


def test_follow_asks_the_cluster_that_the_environment_names(endpoint, pipelines, kubeconfig, monkeypatch):
    monkeypatch.setenv("RANKLIFT_KUBERNETES_CONTEXT", "none-of-that-name")
    waiting = WorkflowNodes()
    waiting.stage("train", "Running", pods=[("Pending", "ContainerCreating")])
    done = held(make_decision(verdict="hold"), pipelines)
    _, lines = followed(endpoint, pipelines, waiting, waiting, done, patience=0.0)
    assert "  train waits: ContainerCreating" in lines
    assert not [request for request in kubeconfig.requests if request.resource == "events"]


def test_follow_tells_attempts_as_they_end(endpoint, pipelines):
    first, second = before_the_gate(), before_the_gate()
    first.stage("gate", "Running", pods=[("Error", "pod deleted")])
    second.stage("gate", "Running", pods=[("Error", "pod deleted"), ("Running", "")])
    last = held(make_decision(verdict="hold"), pipelines)
    last.stage("gate", pods=[("Error", "pod deleted"), ("Succeeded", "")])
    ended, lines = followed(endpoint, pipelines, first, second, last)
    gate = [line for line in lines if line.startswith("  gate")]
    assert gate[:2] == ["  gate …", "  gate: attempt 1 ended (pod deleted); it is retried"]
    assert gate[2].startswith("  gate done in")
    assert {stage.stage: stage.attempts for stage in ended.stages}["gate"] == 2


def test_follow_does_not_promise_another_attempt_after_a_pod_that_failed_by_itself(endpoint, pipelines):
    """Argo marks the pod first and the stage a moment later."""
    pipelines.end = "FAILED"
    between = WorkflowNodes()
    between.stage("prepare", "Running", pods=[("Failed", BAD_DATA)])
    _, lines = followed(endpoint, pipelines, between, failed(WorkflowNodes(), "prepare", BAD_DATA))
    assert lines == ["  prepare …", "  prepare FAILED in 63.0 s"]


def test_follow_splits_the_seconds_of_a_stage(endpoint, pipelines):
    nodes = held(make_decision(verdict="hold"), pipelines)
    created = START + 3.0  # source's pod, after its driver
    pipelines.logs[nodes.pod("source")] = StageTimes(created + 5.0, created + 55.0, 1.5).line()
    ended, _ = followed(endpoint, pipelines, nodes)
    source, prepare = ended.stages[:2]
    assert (source.seconds, source.driver, source.start, source.imports, source.work, source.upload) == (
        63.0, 3.0, 5.0, 1.5, 48.5, 5.0,
    )  # fmt: skip
    assert (prepare.seconds, prepare.driver, prepare.start) == (63.0, 3.0, None), "its log is gone"


def test_follow_reads_the_workflow_and_logs_from_the_cluster_where_kfp_shows_none(endpoint, pipelines, kubeconfig):
    nodes = held(make_decision(verdict="hold", reason="Held: too small."), pipelines)
    gate = nodes.pod("gate")
    kubeconfig.logs[gate, "main"] = pipelines.logs.pop(gate)
    workflow = nodes.workflow()
    workflow["metadata"]["labels"] = {"pipeline/runid": "run-2"}
    kubeconfig.put("workflows", workflow)
    ended, lines = followed(endpoint, pipelines)
    assert (ended.verdict, ended.reason) == ("hold", "Held: too small.")
    assert "  evaluate candidate done in 63.0 s" in lines


@pytest.mark.parametrize(
    ("end", "status", "verdict"), [("SUCCEEDED", 1, "hold"), ("FAILED", 2, "failed")], ids=["held", "failed"]
)
def test_the_command_carries_the_same_in_status_and_json(endpoint, pipelines, end, status, verdict):
    pipelines.end = end
    nodes = held(make_decision(verdict="hold"), pipelines) if status == 1 else None
    pipelines.workflows = [(nodes or failed(WorkflowNodes(), "prepare", BAD_DATA)).workflow()]
    result = CliRunner().invoke(app, ["submit", "--endpoint", endpoint, "--follow", "--json"])
    document = json.loads(result.stdout)
    assert document["verdict"] == verdict
    assert result.exit_code == status or "clicks.csv has no column positive" in str(result.exception)
    assert ("clicks.csv has no column positive" in document["reason"]) == (verdict == "failed")
    assert {"driver", "start", "imports", "work", "upload", "attempts"} < set(document["stages"][0])


def test_follow_knows_a_first_promotion_by_what_deploy_says():
    told: list[str] = []
    _without_a_service(Revision("V0", "s3://ranklift/models/V0/", 0), None, told.append)
    assert FIRST_CHAMPION.search(f"10:00:00 {told[0]}")
