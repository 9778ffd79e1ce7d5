"""Checkpoints in the object store: another machine, with nothing on its disk, carries on as if nothing had happened."""

import json
import os
import shutil
import signal
import threading
from datetime import UTC, datetime, timedelta

import pytest

from components.errors import StoppedError, StoreError
from components.object_store import ObjectStore
from components.train import checkpoint_store
from components.train.checkpoint_store import (
    MANIFEST,
    AbandonedError,
    CheckpointPlace,
    StoredTraining,
    checkpoint_place,
)
from components.train.checkpoint_uploads import kept_in
from components.train.checkpoints import newest_checkpoint
from components.train.progress import ProgressLines
from components.train.train import train_model
from tests.components.train.conftest import QUICK
from tests.faults.proxy import Fault, Proxy
from tests.kserve.running import wait_for

WEIGHTS = "model.safetensors"
DIGEST = "0123456789abcdef"
SHORT = QUICK.model_copy(update={"epochs": 0.4})


@pytest.fixture
def store(registry):
    """A bucket of its own."""
    return registry.store


@pytest.fixture
def training(store):
    return StoredTraining(CheckpointPlace(store, "training/"), DIGEST)


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


def save(folder, step, best=None, content="weights"):
    """A checkpoint as the trainer leaves it, as far as the store cares."""
    checkpoint = folder / f"checkpoint-{step}"
    (checkpoint / "1_Pooling").mkdir(parents=True)
    (checkpoint / WEIGHTS).write_text(f"{content} of {step}")
    (checkpoint / "1_Pooling" / "config.json").write_text("{}")
    (checkpoint / "training_args.bin").write_text("a pickle")
    named = str(folder / f"checkpoint-{best}") if best else None
    state = {"global_step": step, "max_steps": 100, "epoch": step / 50, "best_model_checkpoint": named}
    (checkpoint / "trainer_state.json").write_text(json.dumps(state))
    return checkpoint


def upload(training, checkpoint, best=""):
    return training.upload(checkpoint, int(checkpoint.name.split("-")[1]), best, lambda: True)


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
    return {key.removeprefix("team-a/"): content for key, content in left.items() if key != "ready"}


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
        pytest.param(change_a_byte, 0, "optimizer.pt in bucket {bucket} is damaged: its SHA-256", id="a byte changed"),
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
    assert (report.best_step, report.best_dev_accuracy) == (expected.best_step, expected.best_dev_accuracy)
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


def hold_back(call, go_on):
    """A plan by which the store takes its time over writes."""
    if call.method == "PUT":
        go_on.wait(20)


class TestUploads:
    """Without a trainer: what is uploaded while training runs, and what stays."""

    def test_older_ones_go_once_the_newer_is_whole_and_the_best_stays(self, training, store, tmp_path):
        with pytest.raises(StoppedError), kept_in(training, tmp_path) as uploads:
            for step, best in ((10, 10), (20, 10), (30, 10)):
                uploads.keep(save(tmp_path, step, best))
                wait_for(lambda: not list(tmp_path.glob(".upload-*")))
            raise StoppedError("stopped")
        assert [checkpoint.step for checkpoint in training.whole()] == [30, 10]
        assert training.manifest(training.whole()[0]).best == training.whole()[1].name
        assert not any("checkpoint-20/" in key for key in keys(store))

    def test_what_waits_gives_way_to_the_newest_and_its_best_comes_along(self, training, store, tmp_path):
        """The trainer goes on, and removes what it saved, while the store takes its time over the first upload."""
        go_on = threading.Event()
        with Proxy(store.settings.endpoint) as proxy:
            slow = ObjectStore(store.settings.model_copy(update={"endpoint": proxy.endpoint}))
            proxy.plan = lambda call: hold_back(call, go_on)
            place = StoredTraining(CheckpointPlace(slow, "training/"), DIGEST)
            with pytest.raises(StoppedError), kept_in(place, tmp_path) as uploads:
                uploads.keep(save(tmp_path, 10))
                uploads.keep(save(tmp_path, 20, best=20))
                uploads.keep(save(tmp_path, 30, best=20))
                for step in (10, 20, 30):
                    shutil.rmtree(tmp_path / f"checkpoint-{step}")
                go_on.set()
                raise StoppedError("stopped")
        assert [checkpoint.step for checkpoint in training.whole()] == [30, 20]
        training.download(training.whole()[1], tmp_path / "again")
        assert (tmp_path / "again" / WEIGHTS).read_text() == "weights of 20"

    def test_one_that_was_stopped_does_not_wait_for_ever(self, training, store, tmp_path, capfd):
        go_on = threading.Event()
        with Proxy(store.settings.endpoint) as proxy:
            slow = ObjectStore(store.settings.model_copy(update={"endpoint": proxy.endpoint, "timeout": 5.0}))
            proxy.plan = lambda call: hold_back(call, go_on)
            place = StoredTraining(CheckpointPlace(slow, "training/"), DIGEST)
            with pytest.raises(StoppedError), kept_in(place, tmp_path, patience=0.2) as uploads:
                uploads.keep(save(tmp_path, 10))
                raise StoppedError("stopped")
            assert "step 10 did not get into the object store within 0.2 s" in capfd.readouterr().err
            assert training.whole() == []
            go_on.set()
            wait_for(training.whole)

    @pytest.mark.parametrize("error", [None, StoreError("It can never be.")], ids=["done", "can never be"])
    def test_nothing_stays_of_one_that_is_over(self, training, store, tmp_path, error):
        try:
            with kept_in(training, tmp_path) as uploads:
                uploads.keep(save(tmp_path, 10))
                if error:
                    raise error
        except StoreError:
            assert error is not None
        assert keys(store) == []
        assert not list(tmp_path.glob(".upload-*"))

    def test_one_that_broke_off_keeps_what_it_has(self, training, tmp_path):
        with pytest.raises(ZeroDivisionError), kept_in(training, tmp_path) as uploads:
            uploads.keep(save(tmp_path, 10))
            raise ZeroDivisionError
        assert [checkpoint.step for checkpoint in training.whole()] == [10]

    def test_without_a_store_nothing_happens(self, tmp_path):
        with kept_in(None, tmp_path) as uploads:
            uploads.keep(save(tmp_path, 10))
        assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-10"]


class TestFetching:
    def fetched(self, training, folder):
        folder.mkdir(exist_ok=True)
        with pytest.raises(StoppedError), kept_in(training, folder):
            raise StoppedError("at once")
        return newest_checkpoint(folder)

    def test_the_newest_comes_with_the_best_and_the_path_of_this_machine(self, training, tmp_path):
        (tmp_path / "there").mkdir()
        best = upload(training, save(tmp_path / "there", 10, 10), "self")
        upload(training, save(tmp_path / "there", 20, 10), best.name)
        shutil.rmtree(tmp_path / "there")
        newest = self.fetched(training, tmp_path / "here")
        assert newest == tmp_path / "here" / "checkpoint-20"
        state = json.loads((newest / "trainer_state.json").read_text())
        assert state["best_model_checkpoint"] == str(tmp_path / "here" / "checkpoint-10")
        assert (tmp_path / "here" / "checkpoint-10" / WEIGHTS).read_text() == "weights of 10"
        assert not list((tmp_path / "here").glob(".fetch-*"))

    def test_a_newer_one_on_this_disk_is_used(self, training, tmp_path):
        upload(training, save(tmp_path / "there", 10))
        (tmp_path / "here").mkdir()
        mine = save(tmp_path / "here", 30)
        assert self.fetched(training, tmp_path / "here") == mine
        assert training.whole()[0].step == 30, "and goes into the store"

    def test_one_that_was_uploaded_by_half_does_not_exist(self, training, tmp_path):
        """Its process was killed before the manifest, or between two files."""
        upload(training, save(tmp_path / "there", 10))
        asked = iter([True, True, False])
        with pytest.raises(AbandonedError):
            training.upload(save(tmp_path / "there", 20), 20, "", lambda: next(asked))
        assert any("checkpoint-20/" in key for key in keys(training.store))
        assert self.fetched(training, tmp_path / "here").name == "checkpoint-10"

    def test_one_whose_best_is_missing_is_not_used(self, training, tmp_path, capfd):
        upload(training, save(tmp_path / "there", 20, 10), f"checkpoint-10/{DIGEST}")
        assert self.fetched(training, tmp_path / "here") is None
        assert "The checkpoint of step 20 in the store is not used: There is no object" in capfd.readouterr().err

    def test_a_name_that_leads_elsewhere_is_refused(self, training, store, tmp_path, capfd):
        checkpoint = upload(training, save(tmp_path / "there", 20))
        key = f"training/{DIGEST}/{checkpoint.name}/{MANIFEST}"
        store.put(key, store.get(key).content.replace(b"1_Pooling/config.json", b"../../outside.json"))
        assert self.fetched(training, tmp_path / "here") is None
        assert "'../../outside.json' is not a plain relative path" in capfd.readouterr().err

    def test_a_manifest_of_another_checkpoint_is_refused(self, training, store, tmp_path, capfd):
        old, new = (upload(training, save(tmp_path / f"v{step}", step)) for step in (10, 20))
        root = f"training/{DIGEST}"
        store.put(f"{root}/{new.name}/{MANIFEST}", store.get(f"{root}/{old.name}/{MANIFEST}").content)
        assert self.fetched(training, tmp_path / "here").name == "checkpoint-10"
        assert f"{root}/{new.name}/{MANIFEST} is damaged" in capfd.readouterr().err

    def test_what_nobody_came_back_for_is_removed_a_week_later(self, training, store, tmp_path, monkeypatch):
        other = StoredTraining(CheckpointPlace(store, "training/"), "f" * 16)
        upload(other, save(tmp_path / "there", 10))
        assert self.fetched(training, tmp_path / "here") is None
        assert other.whole()

        class InEightDays(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(UTC) + timedelta(days=8)

        monkeypatch.setattr(checkpoint_store, "datetime", InEightDays)
        self.fetched(training, tmp_path / "here")
        assert other.whole() == []


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
        with pytest.raises(StoreError, match=r"RANKLIFT_CHECKPOINTS=/mnt/checkpoints will not do; give store, off, or"):
            train_model(tmp_path / "nowhere", tmp_path / "model", QUICK)
        monkeypatch.setenv("RANKLIFT_CHECKPOINTS", "store")
        with pytest.raises(StoreError, match="no object store is configured; set RANKLIFT_S3_ENDPOINT"):
            train_model(tmp_path / "nowhere", tmp_path / "model", QUICK)
