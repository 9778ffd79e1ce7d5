"""A training that was stopped on one machine and carried on by another, through the object store alone."""

import json
import os
import shutil
import signal

import pytest

from components.errors import StoppedError, StoreError
from components.object_store.client import ObjectStore
from components.train.checkpoints.store import MANIFEST, checkpoint_place
from components.train.loop.fit import train_model
from components.train.loop.progress import ProgressLines
from tests.components.train.conftest import QUICK
from tests.faults.proxy import Fault, Proxy

WEIGHTS = "model.safetensors"
SHORT = QUICK.model_copy(update={"epochs": 0.4})


@pytest.fixture
def environment(store, tmp_path, monkeypatch):
    """This machine: the store is configured and takes checkpoints, the cache is a folder of its own."""

    def configure(machine: str, endpoint: str = store.settings.endpoint) -> None:
        settings = store.settings.model_copy(update={"endpoint": endpoint, "attempts": 2, "timeout": 5.0})
        for name, value in settings.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("RANKLIFT_CHECKPOINTS", "store")
        monkeypatch.setenv("RANKLIFT_CACHE", str(tmp_path / machine / "cache"))

    return configure


def keys(store):
    return [item.key for item in store.list("training/")]


@pytest.fixture(scope="module")
def stopped(object_store, dataset, tmp_path_factory):
    """What a training leaves in the store that SIGTERM stopped at step 50, after the best so far at step 37."""
    folder = tmp_path_factory.mktemp("stopped")
    store = ObjectStore(object_store.model_copy(update={"bucket": "stopped-training"}))
    store.ensure_bucket()

    def stop_at_step_fifty(self, args, state, control, **kwargs):
        if state.global_step == 50:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        for name, value in store.settings.environment().items():
            patch.setenv(name, value)
        patch.setenv("RANKLIFT_CHECKPOINTS", "s3://stopped-training/team-a")
        patch.setenv("RANKLIFT_CACHE", str(folder / "cache"))
        patch.setattr(ProgressLines, "on_step_end", stop_at_step_fifty)
        with pytest.raises(StoppedError, match="stopped by SIGTERM at step 5"):
            train_model(dataset, folder / "model", QUICK)
    shutil.rmtree(folder)
    left = {item.key: store.get(item.key).content for item in store.list()}
    return {key.removeprefix("team-a/"): content for key, content in left.items()}


def steps(objects):
    return sorted(int(key.split("/")[2].split("-")[1]) for key in objects if key.endswith(f"/{MANIFEST}"))


def test_a_stopped_training_leaves_its_last_checkpoint_and_the_best_one(stopped):
    best, last = steps(stopped)
    assert best < 50 <= last
    (content,) = (stopped[key] for key in stopped if f"/checkpoint-{last}/" in key and key.endswith(MANIFEST))
    manifest = json.loads(content)
    assert manifest["best"].startswith(f"checkpoint-{best}/")
    assert {WEIGHTS, "optimizer.pt", "trainer_state.json"} < manifest["files"].keys()
    assert "training_args.bin" not in manifest["files"]


def change_a_byte(objects, step):
    key = next(key for key in objects if f"-{step}/" in key and key.endswith("optimizer.pt"))
    return {**objects, key: bytes([objects[key][0] ^ 1]) + objects[key][1:]}


@pytest.mark.parametrize(
    ("spoil", "resumed", "sentence"),
    [
        pytest.param(None, -1, "the checkpoint of step 5", id="whole"),
        pytest.param(
            change_a_byte,
            0,
            "optimizer.pt in bucket {bucket} is damaged",
            id="a byte changed",
            marks=pytest.mark.extended,  # one more whole training; without a trainer it is in test_checkpoint_store.py
        ),
    ],
)
def test_another_machine_carries_on_and_ends_with_the_same_weights(
    stopped, environment, store, dataset, trained, tmp_path, capfd, spoil, resumed, sentence
):
    for key, content in (spoil(stopped, steps(stopped)[-1]) if spoil else stopped).items():
        store.put(key, content)
    environment("another machine")
    report = train_model(dataset, tmp_path / "another machine" / "model", QUICK)
    uninterrupted, expected = trained
    assert report.resumed_step == steps(stopped)[resumed]
    assert (tmp_path / "another machine" / "model" / WEIGHTS).read_bytes() == (uninterrupted / WEIGHTS).read_bytes()
    assert (report.best_step, report.dev) == (expected.best_step, expected.dev)
    assert sentence.format(bucket=store.settings.bucket) in capfd.readouterr().err
    assert keys(store) == [], "nothing stays of a training that is done"
    assert list((tmp_path / "another machine" / "cache" / "training").iterdir()) == []


@pytest.mark.parametrize(
    ("endpoint", "fault"),
    [
        pytest.param("http://127.0.0.1:1", None, id="down from the start"),
        pytest.param(None, Fault(status=403, code="AccessDenied"), id="allows no write"),
    ],
)
def test_a_store_that_fails_does_not_disturb_training(environment, store, dataset, tmp_path, capfd, endpoint, fault):
    with Proxy(store.settings.endpoint) as proxy:
        proxy.plan = lambda call: fault if call.method == "PUT" else None
        environment("here", endpoint or proxy.endpoint)
        report = train_model(dataset, tmp_path / "model", SHORT)
    assert report.steps > 0
    warnings = [line for line in capfd.readouterr().err.splitlines() if "training goes on" in line]
    assert warnings
    assert all(warning.startswith("train: ") and warning.endswith(".") for warning in warnings)
    assert len(warnings) <= 2, "a store that stays away is told once"
    assert keys(store) == []


class TestSetting:
    @pytest.mark.parametrize(
        ("value", "place"),
        [
            pytest.param("store", ("{bucket}", "training/"), id="store"),
            pytest.param("s3://others", ("others", "training/"), id="bucket"),
            pytest.param("s3://others/team-a/", ("others", "team-a/training/"), id="prefix"),
        ],
    )
    def test_it_names_a_place(self, environment, store, monkeypatch, value, place):
        environment("here")
        monkeypatch.setenv("RANKLIFT_CHECKPOINTS", value)
        found = checkpoint_place()
        assert (found.store.settings.bucket, found.root) == (place[0].format(bucket=store.settings.bucket), place[1])

    @pytest.mark.parametrize("value", ["off", ""])
    def test_it_is_off(self, environment, monkeypatch, value):
        environment("here")
        monkeypatch.setenv("RANKLIFT_CHECKPOINTS", value)
        assert checkpoint_place() is None

    def test_what_cannot_be_used_is_said_before_anything_is_opened(self, monkeypatch, tmp_path):
        monkeypatch.delenv("RANKLIFT_S3_ENDPOINT", raising=False)
        monkeypatch.setenv("RANKLIFT_CHECKPOINTS", "/mnt/checkpoints")
        with pytest.raises(StoreError, match=r"RANKLIFT_CHECKPOINTS=/mnt/checkpoints is invalid; give store, off, or"):
            train_model(tmp_path / "nowhere", tmp_path / "model", QUICK)
        monkeypatch.setenv("RANKLIFT_CHECKPOINTS", "store")
        with pytest.raises(StoreError, match="no object store is configured; set RANKLIFT_S3_ENDPOINT"):
            train_model(tmp_path / "nowhere", tmp_path / "model", QUICK)
