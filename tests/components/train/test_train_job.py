"""Training on several nodes: one TrainJob for the same inputs, handed over and taken back through the object store."""

import json
import os
import re
import shutil
import signal
import threading
from pathlib import Path

import pytest
import yaml

from components.dataset import DatasetManifest
from components.errors import DataError, ModelError, RankliftError, StoppedError, StoreError
from components.object_store import ObjectStore
from components.train import node
from components.train.handover import Handover
from components.train.launch import train
from components.train.report import DEV_ACCURACY, REPORT, TrainingReport
from components.train.train_job import inputs_digest, job_name, train_job
from components.train.train_job_run import train_on_nodes
from components.train.train_job_settings import VARIABLE, TrainJobSettings
from tests.components.train.conftest import QUICK
from tests.kubernetes_api import Cluster, serving
from tests.trainer_controller import Trainer, in_processes

ROLE = Path(__file__).parents[3] / "manifests" / "train-jobs" / "role.yaml"
TWO_NODES = QUICK.model_copy(update={"num_nodes": 2})
SETTINGS = TrainJobSettings(
    image="registry.example.com/ranklift-train:1",
    secret="ranklift-object-store",
    keys={"key-id": "AWS_ACCESS_KEY_ID", "key": "AWS_SECRET_ACCESS_KEY"},
    namespace="kubeflow",
)
SECRETS = {"ranklift-object-store": {"key-id": "AKIA", "key": "a secret key"}}


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    cluster = Cluster()
    with serving(cluster, tmp_path) as environment:
        monkeypatch.setenv("KUBECONFIG", environment["KUBECONFIG"])
        yield cluster


@pytest.fixture
def store(registry, monkeypatch):
    """An object store that the environment names, as a stage's does."""
    settings = registry.store.settings
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    return ObjectStore(settings)


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


def removed(cluster, store):
    return not cluster.select("trainjobs", "") and not store.list()


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
            "inputs.json", "inputs/dataset/train.parquet", "inputs/dataset/dev.parquet", "inputs/dataset/manifest.json",
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
        for file in ("train.parquet", "dev.parquet", "manifest.json"):
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
            patch.setattr("components.train.train_job_run._Run.follow", lambda self: 1 / 0)
            with pytest.raises(ZeroDivisionError):  # the stage's pod goes away
                run()
        threading.Timer(1, nodes.may_end.set).start()
        run()
        assert len(trainer.jobs) == 1
        assert any("runs already" in line for line in run.told)

    def test_a_model_that_is_ready_is_taken(self, run, trainer, cluster, monkeypatch, trained):
        with monkeypatch.context() as patch:
            patch.setattr("components.train.train_job_run._Run.take_model", lambda self, output: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                run()
        assert run() == trained[1]
        assert len(trainer.jobs) == 1

    def test_one_that_failed_is_begun_anew(self, run, trainer, nodes, cluster, monkeypatch, trained):
        nodes.act = lambda node, handover: 1
        with monkeypatch.context() as patch:
            patch.setattr("components.train.train_job_run._Run.remove", lambda self: None)
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
        monkeypatch.setattr("components.train.train_job_run._GRACE", 1.0)
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
            def upload(self, key, path, sha256):
                super().upload(key, path, sha256)
                if key.endswith("model.safetensors"):
                    self.put(key, b"x" * path.stat().st_size)

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

    def test_a_batch_that_the_nodes_cannot_share_is_refused_before_anything_is_made(self, run, cluster, store):
        with pytest.raises(ModelError, match="A batch of 16 examples cannot be shared evenly by 3 processes"):
            run(QUICK.model_copy(update={"num_nodes": 3}))
        assert removed(cluster, store)
        assert not cluster.requests


TORCHRUN = {"PET_NNODES": "2", "PET_NODE_RANK": "1", "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": "29500"}


class TestANode:
    @pytest.mark.parametrize(
        ("unset", "sentence"),
        [
            pytest.param("PET_MASTER_ADDR", r"PET_MASTER_ADDR is not set.*such as torch-distributed", id="no others"),
            pytest.param("", r"There is no object training/0123/inputs\.json", id="no inputs"),
        ],
    )
    def test_why_it_gives_up_is_handed_over(self, store, monkeypatch, capsys, unset, sentence):
        for name, value in TORCHRUN.items():
            monkeypatch.setenv(name, "" if name == unset else value)
        assert node.main("0123") == 2
        (error,) = Handover(store, "0123").failures()
        assert re.search(sentence, str(error))
        assert str(error) in capsys.readouterr().err

    def test_what_a_worker_said_stands_before_what_the_others_saw_of_it(self, store):
        handover = Handover(store, "0123")
        handover.report_failure(0, RankliftError("A training process ended with status 1."))
        handover.report_failure(1, DataError("dev.parquet is empty."))
        assert str(handover.failures()[0]) == "dev.parquet is empty."
        handover.clear_failures()
        assert handover.failures() == []

    def test_a_list_that_leads_out_of_the_folder_is_refused(self, store, tmp_path):
        entry = {"sha256": "0" * 64, "size": 1}
        store.put("training/0123/model.json", json.dumps({"files": {"../escaped.json": entry}}).encode())
        with pytest.raises(StoreError, match="is not a plain relative path"):
            Handover(store, "0123").receive_model(tmp_path / "model")
        assert list(tmp_path.iterdir()) == []


class TestTheManifest:
    SETTINGS = SETTINGS.model_copy(
        update={
            "cpu": "8", "memory": "32Gi", "accelerator": "nvidia.com/gpu", "accelerators": 4, "deadline": 7200,
            "node_selector": {"gpu": "l4"}, "image_pull_secrets": ["registry"], "env": {"NCCL_DEBUG": "WARN"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        }
    )  # fmt: skip

    @pytest.fixture
    def manifest(self, object_store):
        return train_job("0123456789abcdef", TWO_NODES, self.SETTINGS, object_store)

    @pytest.mark.parametrize("change", [None, ("trainer", "numNode"), ("trainer", "numNodes"), ("spec", "runtimeRef")])
    def test_it_is_one_that_the_sdk_knows(self, manifest, change):
        from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

        if change is None:
            assert as_the_sdk_reads(TrainerV1alpha1TrainJob, manifest) == manifest
            return
        place = manifest["spec"]["trainer"] if change[0] == "trainer" else manifest["spec"]
        place[change[1]] = "two"
        with pytest.raises((AssertionError, ValueError)):
            assert as_the_sdk_reads(TrainerV1alpha1TrainJob, manifest) == manifest

    def test_every_node_gets_what_was_asked_for(self, manifest):
        trainer = manifest["spec"]["trainer"]
        assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 4), "one process for each accelerator"
        assert trainer["resourcesPerNode"]["limits"] == {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "4"}
        assert trainer["command"] == ["python3", "-m", "components.train.node", "0123456789abcdef"]
        assert manifest["spec"]["activeDeadlineSeconds"] == 7200
        pod = pod_of(manifest)
        assert (pod["nodeSelector"], pod["imagePullSecrets"]) == ({"gpu": "l4"}, [{"name": "registry"}])
        assert pod["tolerations"] == self.SETTINGS.tolerations
        assert {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]} == {"/tmp", "/dev/shm"}  # noqa: S108

    def test_keys_stand_in_no_manifest(self, manifest, object_store):
        from_secret = [item for item in manifest["spec"]["trainer"]["env"] if "valueFrom" in item]
        assert {item["name"]: item["valueFrom"]["secretKeyRef"]["key"] for item in from_secret} == {
            "AWS_ACCESS_KEY_ID": "key-id", "AWS_SECRET_ACCESS_KEY": "key",
        }  # fmt: skip
        assert object_store.secret_key.get_secret_value() not in yaml.safe_dump(manifest)

    def test_nodes_run_as_pod_security_restricted_asks(self, manifest):
        pod = pod_of(manifest)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        own = pod["containers"][0]["securityContext"]
        assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
        assert own["capabilities"] == {"drop": ["ALL"]}

    def test_its_name_is_one_for_the_same_inputs_and_another_for_others(self):
        inputs = {"dataset_digest": "d", "base_model": "b", "options": TWO_NODES, "settings": SETTINGS}
        others = [
            {"dataset_digest": "e"}, {"base_model": "c"}, {"options": TWO_NODES.model_copy(update={"seed": 1})},
            {"settings": SETTINGS.model_copy(update={"image": "registry.example.com/ranklift-train:2"})},
        ]  # fmt: skip
        names = [job_name(inputs_digest(**{**inputs, **other})) for other in ({}, {}, *others)]
        assert names[0] == names[1]
        assert len(set(names)) == 1 + len(others)
        assert all(re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name) for name in names)
        assert all(len(f"{name}-node-0-63-abcde") <= 63 for name in names), "and so are the names of its pods"


def pod_of(manifest):
    (patch,) = manifest["spec"]["runtimePatches"]
    assert re.fullmatch(r"[a-z0-9.-]+\.[a-z]+/[a-z]+", patch["manager"])
    (job,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    assert job["name"] == "node"
    return job["template"]["spec"]["template"]["spec"]


def as_the_sdk_reads(model, manifest):
    """The manifest as the SDK's models read and write it: a field that they do not know is not in it any more."""
    return model.from_dict(manifest).to_dict()


@pytest.mark.extended
def test_two_nodes_of_one_process_each_train_one_model(dataset, tmp_path, cluster, store, monkeypatch):
    """All of it for real but the cluster: each node is a process with what its container would have, and no more."""
    monkeypatch.setenv(VARIABLE, SETTINGS.model_dump_json())
    keys = store.settings
    secret = {"key-id": keys.access_key.get_secret_value(), "key": keys.secret_key.get_secret_value()}
    trainer = Trainer(cluster, {SETTINGS.secret: secret}, in_processes(tmp_path))
    report = train_on_nodes(dataset, tmp_path / "model", TWO_NODES, tick=1)
    trainer.end()
    assert TrainingReport.read(tmp_path / "model" / REPORT) == report
    assert report.dev[DEV_ACCURACY] > report.dev_before[DEV_ACCURACY]
    from sentence_transformers import SentenceTransformer

    assert (
        SentenceTransformer(str(tmp_path / "model"), device="cpu").max_seq_length
        == DatasetManifest.of(dataset).max_seq_length
    )
    assert removed(cluster, store)
    shutil.rmtree(tmp_path / "model")
