"""Training on several nodes: one TrainJob for the same inputs, handed over and taken back through the object store."""

import os
import re
import signal
import threading
from pathlib import Path

import pytest
import yaml

from components.errors import ModelError, RankliftError, StoppedError, StoreError
from components.train.nodes.handover import Handover
from components.train.nodes.run import train_on_nodes
from components.train.nodes.settings import VARIABLE
from components.train.stage import train
from tests.components.train.conftest import QUICK
from tests.components.train.nodes.train_jobs import SETTINGS, TWO_NODES, removed
from tests.standins.trainer_controller import Trainer

ROLE = Path(__file__).parents[4] / "manifests" / "train-jobs" / "role.yaml"
SECRETS = {"ranklift-object-store": {"key-id": "AKIA", "key": "a secret key"}}


class Nodes:
    """What the nodes do, in place of an hour of training: the first one puts a model there that was trained before."""

    def __init__(self, store, model):
        self.store, self.model = store, model
        self.seen = {}  # name of an object → its size, as the nodes found it
        self.may_end = threading.Event()
        self.may_end.set()
        self.act = lambda node, handover: 0

    def __call__(self, node):
        handover = Handover(self.store, node.command[-1])
        code = self.act(node, handover)
        self.may_end.wait(30)
        if node.index == 0 and code == 0:
            self.seen = {item.key: item.size for item in self.store.list()}
            handover.send_model(self.model)
        return code


@pytest.fixture
def nodes(store, trained):
    return Nodes(store, trained[0])


@pytest.fixture
def trainer(cluster, nodes, monkeypatch):
    monkeypatch.setenv(VARIABLE, SETTINGS.model_dump_json())
    trainer = Trainer(cluster, SECRETS, nodes)
    yield trainer
    nodes.may_end.set()
    trainer.end()


@pytest.fixture
def run(dataset, tmp_path, trainer):
    told = []

    def run(options=TWO_NODES):
        return train_on_nodes(dataset, tmp_path / "out" / "model", options, tick=1, tell=told.append)

    run.told = told
    run.output = tmp_path / "out" / "model"
    return run


class TestThatItTrains:
    def test_the_model_comes_back_whole_and_nothing_else_stays(self, run, cluster, store, trained):
        model, report = trained
        assert run() == report
        assert {path.name: path.read_bytes() for path in run.output.iterdir() if path.is_file()} == {
            path.name: path.read_bytes() for path in model.iterdir() if path.is_file()
        }
        assert [path.name for path in run.output.parent.iterdir()] == ["model"]
        assert removed(cluster, store)

    def test_nodes_never_get_the_evaluation_files(self, run, nodes):
        run()
        files = {re.sub(r"^training/[0-9a-f]{16}/", "", key) for key in nodes.seen}
        base = {name for name in files if name.startswith("inputs/base_model/")}
        assert files - base == {
            "inputs.json", "inputs/dataset/train.parquet", "inputs/dataset/dev.parquet",
            "inputs/dataset/dev_corpus.parquet", "inputs/dataset/manifest.json",
        }  # fmt: skip
        assert "inputs/base_model/model.safetensors" in base, "a base model that is a folder of this machine"

    def test_a_node_gets_the_very_inputs_and_how_to_train(self, run, nodes, dataset, tmp_path):
        def fetch(node, handover):
            if node.index == 1:
                options = handover.receive_inputs(tmp_path / "fetched")
                assert (options.num_nodes, options.processes, options.batch_size) == (2, 1, QUICK.batch_size)
            return 0

        nodes.act = fetch
        run()
        for file in ("train.parquet", "dev.parquet", "dev_corpus.parquet", "manifest.json"):
            assert (tmp_path / "fetched" / "dataset" / file).read_bytes() == (dataset / file).read_bytes()

    def test_what_the_role_grants_is_what_it_takes(self, run, cluster):
        run()
        role = next(yaml.safe_load_all(ROLE.read_text()))
        granted = {(verb, what) for rule in role["rules"] for verb in rule["verbs"] for what in rule["resources"]}
        used = {(request.verb, request.resource) for request in cluster.requests}
        assert used <= granted
        assert granted - used <= {("get", "pods/log"), ("watch", "trainjobs"), ("list", "pods")}, (
            "those for a longer one"
        )
        assert {request.namespace for request in cluster.requests} == {role["metadata"]["namespace"]}

    @pytest.mark.parametrize("place", ["off", "store", "s3://ranklift/team-a"])
    def test_nodes_keep_their_checkpoints_where_the_stage_would(self, run, trainer, monkeypatch, place):
        monkeypatch.setenv("RANKLIFT_CHECKPOINTS", place)
        run()
        told = {item["name"]: item.get("value") for item in trainer.jobs[0]["spec"]["trainer"]["env"]}
        assert told["RANKLIFT_CHECKPOINTS"] == place

    def test_progress_is_told_as_the_first_node_tells_it(self, run, nodes, cluster):
        def tell(node, handover):
            node.log("train: step 10/40  loss 0.7  90.1 triplets/s  30 s left\n" if node.index == 0 else "noise\n")
            nodes.may_end.clear()
            threading.Timer(2.5, nodes.may_end.set).start()
            return 0

        nodes.act = tell
        run()
        assert "step 10/40  loss 0.7  90.1 triplets/s  30 s left" in run.told

    def test_as_a_stage_or_command_does_it(self, dataset, tmp_path, trainer, trained):
        assert train(dataset, tmp_path / "model", TWO_NODES) == trained[1]


class TestTriedAgain:
    def test_a_job_that_runs_is_followed_and_not_started_twice(self, run, trainer, nodes, monkeypatch):
        nodes.may_end.clear()
        with monkeypatch.context() as patch:
            patch.setattr("components.train.nodes.run._Run.follow", lambda self: 1 / 0)
            with pytest.raises(ZeroDivisionError):  # the stage's pod goes away
                run()
        threading.Timer(1, nodes.may_end.set).start()
        run()
        assert len(trainer.jobs) == 1
        assert any("is already running" in line for line in run.told)

    def test_a_model_that_is_ready_is_taken(self, run, trainer, cluster, monkeypatch, trained):
        with monkeypatch.context() as patch:
            patch.setattr("components.train.nodes.run._Run.take_model", lambda self, output: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                run()
        assert run() == trained[1]
        assert len(trainer.jobs) == 1

    def test_one_that_failed_is_begun_anew(self, run, trainer, nodes, cluster, monkeypatch, trained):
        nodes.act = lambda node, handover: 1
        with monkeypatch.context() as patch:
            patch.setattr("components.train.nodes.run._Run.remove", lambda self: None)
            with pytest.raises(RankliftError):
                run()
        nodes.act = lambda node, handover: 0
        assert run() == trained[1]
        assert len(trainer.jobs) == 2


class TestThatItFails:
    def test_the_error_has_the_end_of_the_failed_nodes_log(self, run, nodes, cluster, store):
        def fail(node, handover):
            node.log("".join(f"line {number}\n" for number in range(30)) + f"node {node.index} says no\n")
            return 137 if node.index == 1 else 0

        nodes.act = fail
        with pytest.raises(RankliftError, match=r"TrainJob ranklift-train-\w+ in namespace kubeflow failed:") as caught:
            run()
        assert "Node 1 (pod " in str(caught.value)
        assert "exit code 137 (OOMKilled)" in str(caught.value)
        assert str(caught.value).endswith("line 29\nnode 1 says no")
        assert "node 0 says no" not in str(caught.value)
        assert removed(cluster, store)

    def test_what_a_node_says_of_the_data_ends_it_at_once(self, run, nodes, cluster, store):
        def refuse(node, handover):
            nodes.may_end.clear()  # Trainer starts failed nodes again, and again
            handover.report_failure(node.index, ModelError("The loss became nan at step 3; lower --learning-rate."))
            return 2

        nodes.act = refuse
        with pytest.raises(RankliftError, match=r"^The loss became nan at step 3"):
            run()
        assert removed(cluster, store)

    def test_an_image_that_is_not_there_is_named(self, run, trainer, cluster, store):
        waiting = {"reason": "ImagePullBackOff", "message": "manifest unknown"}
        trainer.fault = {"containerStatuses": [{"name": "node", "state": {"waiting": waiting}}]}
        with pytest.raises(RankliftError, match=r"cannot train: Pod .* ImagePullBackOff, manifest unknown"):
            run()
        assert removed(cluster, store)

    @pytest.mark.parametrize("suspended", [False, True], ids=["no room", "suspended"])
    def test_it_waits_for_room_and_says_so(self, run, trainer, cluster, suspended, monkeypatch):
        message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
        condition = {"type": "PodScheduled", "status": "False", "message": message}
        trainer.suspended, trainer.fault = suspended, {"phase": "Pending", "conditions": [condition]}
        monkeypatch.setenv(VARIABLE, SETTINGS.model_copy(update={"deadline": 1}).model_dump_json())
        monkeypatch.setattr("components.train.nodes.run._GRACE", 1.0)
        if suspended:
            threading.Timer(3, os.kill, (os.getpid(), signal.SIGTERM)).start()
            with pytest.raises(StoppedError):  # in a queue its time does not pass
                run()
        else:
            with pytest.raises(RankliftError, match="it did not end within 1 s; set `deadline` to more"):
                run()
        assert any(("it is suspended" if suspended else message) in line for line in run.told)

    def test_sigterm_removes_the_job_and_what_was_handed_over(self, run, nodes, cluster, store):
        nodes.may_end.clear()
        nodes.act = lambda node, handover: os.kill(os.getpid(), signal.SIGTERM) if node.index == 0 else None
        before = signal.getsignal(signal.SIGTERM)
        with pytest.raises(StoppedError, match="Training was stopped by SIGTERM, and its TrainJob removed"):
            run()
        assert signal.getsignal(signal.SIGTERM) == before
        assert removed(cluster, store)

    def test_a_damaged_model_is_not_taken(self, run, nodes, store, cluster):
        class Damaging(type(store)):
            def put(self, key, content):
                return super().put(key, b"x" * len(content) if key.endswith("model.safetensors") else content)

        nodes.store = Damaging(store.settings)
        with pytest.raises(RankliftError, match=r"model\.safetensors .* is damaged"):
            run()
        assert not run.output.exists()
        assert removed(cluster, store), "or the same again would find it again"

    def test_a_cluster_without_kubeflow_trainer_is_said_to_be_one(self, run, cluster):
        cluster.unknown.add("trainjobs")
        with pytest.raises(RankliftError, match=r"The cluster knows no TrainJobs .* Install Kubeflow Trainer 2.3"):
            run()

    def test_a_right_that_is_missing_is_named_as_a_rule(self, run, cluster):
        cluster.denied.add(("create", "trainjobs"))
        rule = r"apiGroups: \[trainer.kubeflow.org\], resources: \[trainjobs\], verbs: \[create\]"
        with pytest.raises(RankliftError, match=rule):
            run()

    @pytest.mark.parametrize(
        ("missing", "sentence"),
        [
            pytest.param(VARIABLE, "add `train_job:` to the pipeline's settings", id="no settings"),
            pytest.param("RANKLIFT_S3_ENDPOINT", "needs an object store that they reach", id="no store"),
        ],
    )
    def test_what_it_needs_is_asked_for(self, run, monkeypatch, missing, sentence):
        monkeypatch.delenv(missing)
        with pytest.raises(RankliftError, match=sentence):
            run()

    def test_a_place_for_checkpoints_that_is_none_is_refused_before_anything_is_made(self, run, cluster, monkeypatch):
        monkeypatch.setenv("RANKLIFT_CHECKPOINTS", "somewhere")
        with pytest.raises(StoreError, match="RANKLIFT_CHECKPOINTS=somewhere is invalid"):
            run()
        assert not cluster.requests

    def test_a_batch_that_the_nodes_cannot_share_is_refused_before_anything_is_made(self, run, cluster, store):
        with pytest.raises(ModelError, match="A batch of 16 examples cannot be shared evenly by 3 processes"):
            run(QUICK.model_copy(update={"num_nodes": 3}))
        assert removed(cluster, store)
        assert not cluster.requests
