"""Checkpoints in the object store: what is uploaded while training runs, what stays, what is fetched; no trainer."""

import json
import shutil
import threading
from datetime import UTC, datetime, timedelta

import pytest

from components.errors import StoppedError, StoreError
from components.object_store.client import ObjectStore
from components.train.checkpoints import store as checkpoint_store
from components.train.checkpoints.local import newest_checkpoint
from components.train.checkpoints.store import MANIFEST, AbandonedError, CheckpointPlace, StoredTraining
from components.train.checkpoints.uploads import kept_in
from components.train.ranks import Ranks
from tests.components.train.checkpoints.checkpoint_files import WEIGHTS, content_of, write_files
from tests.faults.proxy import Fault, Proxy
from tests.kserve.running import wait_for

DIGEST = "0123456789abcdef"


@pytest.fixture
def training(store):
    return StoredTraining(CheckpointPlace(store, "training/"), DIGEST)


def keys(store):
    return [item.key for item in store.list("training/")]


def save(folder, step, best=None, content="weights"):
    """A checkpoint as the trainer leaves it, as far as the store cares."""
    checkpoint = folder / f"checkpoint-{step}"
    (checkpoint / "1_Pooling").mkdir(parents=True)
    write_files(checkpoint, f"{content} of {step}")
    (checkpoint / "1_Pooling" / "config.json").write_text("{}")
    (checkpoint / "training_args.bin").write_text("a pickle")
    named = str(folder / f"checkpoint-{best}") if best else None
    state = {"global_step": step, "max_steps": 100, "epoch": step / 50, "best_model_checkpoint": named}
    (checkpoint / "trainer_state.json").write_text(json.dumps(state))
    return checkpoint


def upload(training, checkpoint, best=""):
    return training.upload(checkpoint, int(checkpoint.name.split("-")[1]), best, lambda: True)


def hold_back(call, go_on):
    """A plan by which the store takes its time over writes."""
    if call.method == "PUT":
        go_on.wait(20)


class TestUploads:
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
        assert content_of(tmp_path / "again") == "weights of 20"

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

    def test_whatever_request_a_pod_dies_at_a_whole_checkpoint_is_left(self, training, store, tmp_path):
        """From some request on nothing reaches the store, as when the process was killed."""
        checkpoints = {step: save(tmp_path / f"{step}", step, best=10) for step in (10, 20, 30)}
        left = set()
        with Proxy(store.settings.endpoint) as proxy:
            through = ObjectStore(store.settings.model_copy(update={"endpoint": proxy.endpoint, "attempts": 1}))
            dying = StoredTraining(CheckpointPlace(through, "training/"), DIGEST)
            for number in range(40):
                training.remove()
                best = upload(training, checkpoints[10], "self")
                upload(training, checkpoints[20], best.name)
                proxy.reset(lambda call, last=number: Fault(status=403) if call.number >= last else None)
                try:
                    dying.keep_only(upload(dying, checkpoints[30], best.name), best.name)
                except StoreError:
                    left.add(training.whole()[0].step)
                else:
                    break
                for checkpoint in training.whole():
                    training.download(checkpoint, tmp_path / f"{number}" / f"{checkpoint.step}")
        assert left == {20, 30}
        assert [checkpoint.step for checkpoint in training.whole()] == [30, 10]

    def test_a_store_that_lets_nothing_be_removed_gets_the_next_one_all_the_same(
        self, training, store, tmp_path, capfd
    ):
        with Proxy(store.settings.endpoint) as proxy:
            proxy.plan = lambda call: Fault(status=403, code="AccessDenied") if call.method == "DELETE" else None
            through = ObjectStore(store.settings.model_copy(update={"endpoint": proxy.endpoint}))
            with kept_in(StoredTraining(CheckpointPlace(through, "training/"), DIGEST), tmp_path) as uploads:
                for step in (10, 20, 30):
                    uploads.keep(save(tmp_path, step))
                    wait_for(lambda: not list(tmp_path.glob(".upload-*")))
        assert [checkpoint.step for checkpoint in training.whole()] == [30, 20, 10]
        told = capfd.readouterr().err.splitlines()
        assert len(told) == 2, "once while it runs, and once at its end"
        assert all("AccessDenied; give these keys read and write access to the bucket." in line for line in told)

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
        assert content_of(tmp_path / "here" / "checkpoint-10") == "weights of 10"
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

    def test_one_with_a_changed_byte_is_named_and_the_one_before_is_used(self, training, store, tmp_path, capfd):
        upload(training, save(tmp_path / "there", 10))
        key = f"training/{DIGEST}/{upload(training, save(tmp_path / 'there', 20)).name}/{WEIGHTS}"
        store.put(key, (tmp_path / "there" / "checkpoint-20" / WEIGHTS).read_bytes().replace(b"weights", b"Weights"))
        assert self.fetched(training, tmp_path / "here").name == "checkpoint-10"
        bucket = store.settings.bucket
        sentence = (
            f"The checkpoint of step 20 in the store is not used: {key} in bucket {bucket} is damaged: its SHA-256 "
        )
        assert sentence in capfd.readouterr().err

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

    @pytest.mark.parametrize(
        ("machines", "found"),
        [
            pytest.param(1, {"checkpoint-20"}, id="not beside a newer one"),
            pytest.param(2, {"checkpoint-10", "checkpoint-20"}, id="beside it where another machine may have none"),
        ],
    )
    def test_what_comes_beside_a_newer_one_of_this_machine(self, training, store, tmp_path, machines, found):
        (tmp_path / "there").mkdir()
        upload(training, save(tmp_path / "there", 10))
        (tmp_path / "here").mkdir()
        save(tmp_path / "here", 20)
        last = Ranks(index=machines - 1, count=machines)
        with pytest.raises(StoppedError), kept_in(training, tmp_path / "here", ranks=last):
            raise StoppedError("at once")
        assert {path.name for path in (tmp_path / "here").iterdir()} == found
        uploads_what_it_has = machines == 1
        assert (training.whole()[0].step == 20) == uploads_what_it_has, "the first of several alone uploads"

    def test_what_nobody_came_back_for_is_removed_a_week_later(self, training, store, tmp_path, monkeypatch):
        other = StoredTraining(CheckpointPlace(store, "training/"), "f" * 16)
        upload(other, save(tmp_path / "there", 10))
        inputs = f"training/{'e' * 16}/inputs.json"  # of a TrainJob that waits in a queue
        store.put(inputs, b"{}")
        assert self.fetched(training, tmp_path / "here") is None
        assert other.whole()

        class InEightDays(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(UTC) + timedelta(days=8)

        monkeypatch.setattr(checkpoint_store, "datetime", InEightDays)
        self.fetched(training, tmp_path / "here")
        assert other.whole() == []
        assert store.get(inputs).content == b"{}"
