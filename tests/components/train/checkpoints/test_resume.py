"""A training that was interrupted carries on from its checkpoint, and ends as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from components.train.checkpoints.local import StoppedError, checkpoints_of, newest_checkpoint
from components.train.loop.fit import train_model
from components.train.loop.progress import ProgressLines
from tests.components.train.checkpoints.checkpoint_files import WEIGHTS, write_files
from tests.components.train.conftest import QUICK
from tests.kserve.running import wait_for


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder below which checkpoints lie; the environment names it."""
    monkeypatch.setenv("RANKLIFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "training"


def states(folder):
    return list(folder.glob(".train-*/checkpoint-*/trainer_state.json"))


@pytest.mark.extended
def test_a_training_that_was_killed_carries_on_and_ends_with_the_same_weights(dataset, trained, cache, tmp_path):
    options = ["--epochs", "4", "--batch-size", "16", "--learning-rate", "0.002", "--precision", "fp32"]
    command = [sys.executable, "-m", "pipeline.cli", "train", str(dataset), "-o", str(tmp_path / "model"), *options]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(lambda: states(cache) or process.poll() is not None, seconds=200)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL, (tmp_path / "log").read_text()
    assert not (tmp_path / "model").exists()

    report = train_model(dataset, tmp_path / "model", QUICK)
    uninterrupted, expected = trained
    assert 0 < report.resumed_step < report.steps == expected.steps
    assert (tmp_path / "model" / WEIGHTS).read_bytes() == (uninterrupted / WEIGHTS).read_bytes()
    assert (report.best_step, report.dev) == (expected.best_step, expected.dev)
    assert list(cache.iterdir()) == []


def test_sigterm_saves_the_step_that_runs_and_the_same_again_carries_on_from_it(
    dataset, trained, cache, tmp_path, monkeypatch
):
    def stop_at_step_ten(self, args, state, control, **kwargs):
        if state.global_step == 10:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(ProgressLines, "on_step_end", stop_at_step_ten)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedError, match=r"stopped by SIGTERM at step 1\d of \d+; run the same command again"):
        train_model(dataset, tmp_path / "model", QUICK)
    assert signal.getsignal(signal.SIGTERM) == before
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]

    report = train_model(dataset, tmp_path / "model", QUICK)
    uninterrupted, _ = trained
    assert report.resumed_step in {10, 11}
    assert (tmp_path / "model" / WEIGHTS).read_bytes() == (uninterrupted / WEIGHTS).read_bytes()


def test_mining_averaging_and_early_stopping_resume_too(dataset, cache, tmp_path, monkeypatch):
    mined = QUICK.model_copy(update={"recipe": "mined", "evaluations": 8})
    expected = train_model(dataset, tmp_path / "uninterrupted", mined)

    def stop_at_step_twenty(self, args, state, control, **kwargs):
        if state.global_step == 20:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(ProgressLines, "on_step_end", stop_at_step_twenty)
        with pytest.raises(StoppedError):
            train_model(dataset, tmp_path / "model", mined)
    report = train_model(dataset, tmp_path / "model", mined)
    found = (report.steps, report.best_step, report.averaging)
    assert report.resumed_step in {20, 21}
    assert found == (expected.steps, expected.best_step, expected.averaging)
    assert (tmp_path / "model" / WEIGHTS).read_bytes() == (tmp_path / "uninterrupted" / WEIGHTS).read_bytes()


class TestNewestCheckpoint:
    @staticmethod
    def write(folder: Path, step: int, **changed) -> Path:
        checkpoint = folder / f"checkpoint-{step}"
        checkpoint.mkdir()
        state = {"global_step": step, "max_steps": 40, "epoch": step / 20, "best_model_checkpoint": None} | changed
        write_files(checkpoint, str(step))
        (checkpoint / "trainer_state.json").write_text(json.dumps(state))
        return checkpoint

    def test_it_is_the_one_of_the_latest_step(self, tmp_path):
        newest = [self.write(tmp_path, step) for step in (9, 10)][-1]
        assert newest_checkpoint(tmp_path) == newest
        assert newest_checkpoint(tmp_path / "nowhere") is None

    @pytest.mark.parametrize("content", [None, "", '{"global_step": 20'], ids=["missing", "empty", "cut"])
    def test_one_that_was_cut_short_is_removed(self, tmp_path, content):
        whole = self.write(tmp_path, 10)
        state = self.write(tmp_path, 20) / "trainer_state.json"
        state.unlink() if content is None else state.write_text(content)
        assert newest_checkpoint(tmp_path) == whole
        assert list(tmp_path.iterdir()) == [whole]

    @pytest.mark.parametrize("name", [WEIGHTS, "optimizer.pt", "scheduler.pt"])
    @pytest.mark.parametrize("share", [None, 0, 0.5], ids=["missing", "empty", "half"])
    def test_one_that_a_disk_lost_a_part_of_is_removed(self, tmp_path, name, share):
        whole = self.write(tmp_path, 10)
        file = self.write(tmp_path, 20) / name
        content = file.read_bytes()
        file.unlink()
        if share is not None:
            file.write_bytes(content[: int(share * len(content))])
        assert newest_checkpoint(tmp_path) == whole
        assert list(tmp_path.iterdir()) == [whole]

    def test_one_whose_best_predecessor_lost_a_part_is_not_used(self, tmp_path):
        best = self.write(tmp_path, 10)
        self.write(tmp_path, 20, best_model_checkpoint=str(best))
        (best / WEIGHTS).write_bytes((best / WEIGHTS).read_bytes()[:-1])
        assert newest_checkpoint(tmp_path) is None

    def test_one_whose_best_predecessor_is_gone_is_not_used(self, tmp_path):
        self.write(tmp_path, 20, best_model_checkpoint=str(tmp_path / "checkpoint-10"))
        assert newest_checkpoint(tmp_path) is None

    def test_the_last_of_a_part_of_an_epoch_is_not_used(self, tmp_path):
        self.write(tmp_path, 40, epoch=1.5)
        assert newest_checkpoint(tmp_path) is None


INPUTS = {"dataset": "a", "seed": "1"}


class TestFolder:
    def interrupt(self, parent, inputs):
        with pytest.raises(KeyboardInterrupt), checkpoints_of(parent, inputs) as folder:
            raise KeyboardInterrupt
        return folder

    def test_the_same_inputs_find_what_was_left_and_others_do_not(self, tmp_path):
        left = self.interrupt(tmp_path, INPUTS)
        assert self.interrupt(tmp_path, INPUTS) == left
        assert self.interrupt(tmp_path, INPUTS | {"seed": "2"}) != left

    def test_nothing_stays_of_a_training_that_is_done(self, tmp_path):
        with checkpoints_of(tmp_path, INPUTS):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_who_trains_the_same_at_the_same_time_has_a_folder_of_its_own(self, tmp_path):
        with checkpoints_of(tmp_path, INPUTS) as first, checkpoints_of(tmp_path, INPUTS) as second:
            assert first != second
        assert list(tmp_path.iterdir()) == []

    def test_what_nobody_came_back_for_is_removed_a_week_later(self, tmp_path):
        old = self.interrupt(tmp_path, INPUTS)
        os.utime(old, (0, 0))
        with checkpoints_of(tmp_path, {"dataset": "b"}):
            assert not old.exists()
