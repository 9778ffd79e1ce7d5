"""Training on two nodes, all of it for real but the cluster: a node is a process with what its container would have."""

import shutil
import threading

import pytest

from components.dataset.manifest import DatasetManifest
from components.errors import RankliftError
from components.train.checkpoints.store import MANIFEST
from components.train.nodes.run import train_on_nodes
from components.train.nodes.settings import VARIABLE
from components.train.report import DEV_ACCURACY, REPORT, TrainingReport
from tests.components.train.nodes.train_jobs import SETTINGS, TWO_NODES, removed
from tests.kserve.running import wait_for
from tests.standins.trainer_controller import Trainer, in_processes

pytestmark = pytest.mark.extended


@pytest.fixture
def run(dataset, tmp_path, cluster, store, monkeypatch):
    """Trains on nodes that have the store's real keys from their Secret."""
    monkeypatch.setenv(VARIABLE, SETTINGS.model_dump_json())
    keys = store.settings
    secret = {"key-id": keys.access_key.get_secret_value(), "key": keys.secret_key.get_secret_value()}

    def run(node, options=TWO_NODES):
        trainer = Trainer(cluster, {SETTINGS.secret: secret}, node)
        try:
            return train_on_nodes(dataset, tmp_path / "model", options, tick=1)
        finally:
            trainer.end()

    return run


def test_two_nodes_of_one_process_each_train_one_model(run, dataset, tmp_path, cluster, store):
    from sentence_transformers import SentenceTransformer

    report = run(in_processes(tmp_path))
    assert TrainingReport.read(tmp_path / "model" / REPORT) == report
    assert report.dev[DEV_ACCURACY] > report.dev_before[DEV_ACCURACY]
    assert (
        SentenceTransformer(str(tmp_path / "model"), device="cpu").max_seq_length
        == DatasetManifest.of(dataset).max_seq_length
    )
    assert removed(cluster, store)


@pytest.mark.parametrize("replaced", [(0, 1), (1,)], ids=["all", "one of them"])
def test_nodes_whose_disks_are_gone_carry_on_from_the_store(run, tmp_path, cluster, store, monkeypatch, replaced):
    monkeypatch.setenv("RANKLIFT_CHECKPOINTS", "store")
    options = TWO_NODES.model_copy(update={"epochs": 20})

    def stopped_half_way(node):
        # One event for all would be the job's deletion; here the nodes are told to stop by their machines.
        node = node._replace(stopped=threading.Event())

        def stop():
            wait_for(lambda: any(item.key.endswith(f"/{MANIFEST}") for item in store.list()), 300)
            node.stopped.set()

        threading.Thread(target=stop, daemon=True).start()
        return in_processes(tmp_path)(node)

    with pytest.raises(RankliftError, match="exit code 143"):
        run(stopped_half_way, options)
    for index in replaced:
        shutil.rmtree(tmp_path / f"node-{index}")
    report = run(in_processes(tmp_path), options)
    assert 0 < report.resumed_step < report.steps
    assert report.dev[DEV_ACCURACY] > report.dev_before[DEV_ACCURACY]
    assert removed(cluster, store)
