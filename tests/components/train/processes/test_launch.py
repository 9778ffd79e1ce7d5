"""Training in several processes: they make the model that one would, stop together, and fail in one sentence."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from components.dataset.manifest import DatasetManifest
from components.errors import ModelError
from components.train.processes.launch import _pass_on, check_shares, process_count
from components.train.report import REPORT, TrainingReport
from components.train.stage import train
from tests.components.train.conftest import QUICK
from tests.kserve.running import wait_for

WEIGHTS = "model.safetensors"
TWO = QUICK.model_copy(update={"processes": 2})


@pytest.fixture(scope="module")
def without_dropout(dataset, tmp_path_factory):
    """The dataset's base model without dropout, which is another in every process."""
    folder = tmp_path_factory.mktemp("base") / "model"
    shutil.copytree(DatasetManifest.of(dataset).base_model, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


@pytest.fixture(scope="module")
def together(dataset, without_dropout, tmp_path_factory):
    """What two processes made, and what one alone makes of the same."""
    folder = tmp_path_factory.mktemp("together")
    two = TWO.model_copy(update={"base_model": without_dropout, "batch_size": 20, "epochs": 2})
    train(dataset, folder / "two", two)
    train(dataset, folder / "one", two.model_copy(update={"processes": 1}))
    return folder


@pytest.mark.extended
class TestTwoProcesses:
    def test_they_write_one_model_and_one_report(self, together):
        files = {path.relative_to(together / "one") for path in (together / "one").rglob("*")}
        assert {path.relative_to(together / "two") for path in (together / "two").rglob("*")} == files
        assert sorted(path.name for path in together.iterdir()) == ["one", "two"], "nothing else is left"

    def test_the_loss_goes_down_and_the_dev_set_is_answered_better(self, together):
        report = TrainingReport.read(together / "two" / REPORT)
        headline = report.headline()
        assert headline["loss_last"] < headline["loss_first"]
        assert headline["dev_accuracy"] > headline["dev_accuracy_before"]
        assert report.options.processes == 2

    def test_it_is_the_model_that_one_process_makes(self, together):
        """A batch is one batch, whoever computes it: the same steps, the same negatives, the same gradients."""
        from safetensors.torch import load_file

        one, two = (load_file(together / name / WEIGHTS) for name in ("one", "two"))
        reports = [TrainingReport.read(together / name / REPORT) for name in ("one", "two")]
        assert reports[0].steps == reports[1].steps
        base = load_file(f"{reports[0].base_model}/{WEIGHTS}")
        moved = sum((one[name] - base[name]).square().sum() for name in one).sqrt()
        apart = sum((one[name] - two[name]).square().sum() for name in one).sqrt()
        assert apart <= 0.01 * moved


@pytest.mark.extended
def test_what_a_worker_cannot_do_is_its_own_sentence_and_leaves_nothing(dataset, tmp_path, capfd):
    with pytest.raises(ModelError, match=r"^There is no base model at '/nowhere'; give a folder"):
        train(dataset, tmp_path / "model", TWO.model_copy(update={"base_model": "/nowhere"}))
    assert list(tmp_path.iterdir()) == []
    assert "Traceback" not in capfd.readouterr().err


def start(dataset, folder, log):
    options = ["--epochs", "40", "--batch-size", "16", "--learning-rate", "0.002", "--precision", "fp32"]
    command = [sys.executable, "-m", "pipeline.cli", "train", str(dataset), "-o", str(folder / "model"), *options]
    with log.open("wb") as stream:
        return subprocess.Popen(
            [*command, "--processes", "2", "--json"],
            stdout=stream,
            stderr=stream,
            env=os.environ | {"TMPDIR": str(folder)},
        )


def losses(report, after):
    """What was told of the loss; the first time after a training was resumed it is that of a part of the steps."""
    return [entry["loss"] for entry in report.history if "loss" in entry and entry["step"] > after]


def steps_told(log, step=10):
    return f"train: step {step}" in log.read_text()


@pytest.mark.extended
def test_sigterm_saves_stops_all_processes_and_the_same_again_carries_on(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("RANKLIFT_CACHE", str(tmp_path / "cache"))
    log = tmp_path / "log"
    process = start(dataset, tmp_path, log)
    try:
        wait_for(lambda: steps_told(log, 50) or process.poll() is not None, seconds=120)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM, log.read_text()
    finally:
        process.kill()
    assert "Training was stopped by SIGTERM at step" in log.read_text()
    assert "Traceback" not in log.read_text()
    states = (tmp_path / "cache").rglob("trainer_state.json")  # of the last checkpoint, and of the best one
    saved = max(json.loads(state.read_text())["global_step"] for state in states)
    options = TWO.model_copy(update={"epochs": 40})
    report = train(dataset, tmp_path / "model", options)
    assert report.resumed_step == saved > report.steps / 40, "each epoch has an order of its own, to be gone on with"
    expected = train(dataset, tmp_path / "uninterrupted", options)
    assert losses(report, after=saved + report.steps // 20) == losses(expected, after=saved + report.steps // 20) != []
    assert (tmp_path / "model" / WEIGHTS).read_bytes() == (tmp_path / "uninterrupted" / WEIGHTS).read_bytes()


@pytest.mark.extended
def test_a_process_that_is_killed_ends_all_and_says_what_to_give(dataset, tmp_path):
    log = tmp_path / "log"
    process = start(dataset, tmp_path, log)
    try:
        wait_for(lambda: steps_told(log) or process.poll() is not None, seconds=120)
        (pid,) = tmp_path.glob("ranklift-train-*/rank-1.pid")
        os.kill(int(pid.read_text()), signal.SIGKILL)
        assert process.wait(90) == 2, log.read_text()
    finally:
        process.kill()
    assert "A training process was killed (SIGKILL), most often because memory ran out" in log.read_text()
    assert not (tmp_path / "model").exists()


def test_a_warning_of_torch_hides_no_progress(capfd):
    lines = ["train: step 1/9\n", "W1127 00:01:02.123456 1 torch: slow\n", "train: step 5/9\n", "Traceback of it\n"]
    assert _pass_on(lines) == [lines[1], lines[3]]
    assert capfd.readouterr().err == lines[0] + lines[2]


class TestHowMany:
    def test_without_a_gpu_it_is_one_unless_more_are_asked_for(self):
        assert [process_count(asked) for asked in (0, 1, 3)] == [1, 1, 3]

    @pytest.mark.parametrize(("visible", "one"), [(None, "0"), ("2,3", "2"), ("", "")], ids=["all", "some", "none"])
    def test_one_process_takes_one_gpu(self, dataset, monkeypatch, tmp_path, visible, one):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        with pytest.raises(ModelError):
            train(dataset, tmp_path / "model", QUICK.model_copy(update={"base_model": "/nowhere"}))
        assert os.environ["CUDA_VISIBLE_DEVICES"] == one

    def test_a_batch_that_cannot_be_shared_evenly_is_refused_with_one_that_can(self, dataset, tmp_path):
        with pytest.raises(ModelError, match=r"A batch of 16 examples .* by 3 processes; .* such as 15"):
            train(dataset, tmp_path / "model", QUICK.model_copy(update={"processes": 3}))
        check_shares(QUICK, 8)
