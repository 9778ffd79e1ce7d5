"""A run is as good as what its stages leave behind, whatever KFP says of them."""

import json
import stat
from pathlib import Path

import pytest

from components.errors import RankliftError
from components.machine.private_files import private_folder, private_log
from pipeline.local.run import outputs_of, run_locally
from pipeline.local.run_log import RunLog

KFP_SAYS = """10:00:00.000 - INFO - Executing task 'prepare'
10:00:01.000 - INFO - Task 'prepare' finished with status SUCCESS
"""


class Finished:
    """What KFP gives back of a run."""

    outputs = {"decision": "kept"}  # noqa: RUF012 - KFP's own shape


@pytest.fixture
def log(tmp_path):
    with RunLog(tmp_path / "run.log", lambda line: None) as log:
        yield log


@pytest.mark.parametrize("error", [None, KeyError("dataset"), RuntimeError("Task failed")], ids=["none", "key", "task"])
def test_a_stage_that_left_nothing_fails_the_run_though_kfp_calls_it_a_success(log, tmp_path, error):
    """KFP does so when a container is gone before it was asked for its status."""

    def walk() -> Finished:
        log.write(KFP_SAYS)
        if error is not None:
            raise error
        return Finished()

    with pytest.raises(RankliftError, match=r"Stage prepare ended and left no result.*run\.log"):
        outputs_of(walk, {}, log, tmp_path)


def test_its_own_sentence_is_told_when_it_had_one(log, tmp_path):
    def walk() -> Finished:
        log.write("    ranklift: error: triplets.csv has no column positive; name it so.\n" + KFP_SAYS)
        return Finished()

    with pytest.raises(RankliftError, match="has no column positive"):
        outputs_of(walk, {}, log, tmp_path)


def test_a_run_whose_stages_left_their_results_gives_its_outputs(log, tmp_path):
    def walk() -> Finished:
        log.write(KFP_SAYS)
        folder = Path(tmp_path) / "artifacts" / "ranklift-1" / "prepare"
        folder.mkdir(parents=True)
        (folder / "executor_output.json").write_text(json.dumps({}))
        return Finished()

    assert outputs_of(walk, {}, log, tmp_path) == {"decision": "kept"}


@pytest.mark.parametrize(("left", "is_whole"), [((0, 1), True), ((0,), False)], ids=["every round", "one round"])
def test_a_stage_in_a_loop_must_leave_its_result_in_every_round(log, tmp_path, left, is_whole):
    def walk() -> Finished:
        log.write(KFP_SAYS.replace("prepare", "measure") * 2)
        for number in left:
            folder = tmp_path / "artifacts" / "ranklift-1" / f"for-loop-1-iteration-{number}" / "measure"
            folder.mkdir(parents=True)
            (folder / "executor_output.json").write_text(json.dumps({}))
        return Finished()

    if is_whole:
        assert outputs_of(walk, {}, log, tmp_path) == {"decision": "kept"}
        return
    with pytest.raises(RankliftError, match="Stage measure ended and left no result"):
        outputs_of(walk, {}, log, tmp_path)


INVALID = {
    "on_leak": ({"on_leak": "maybe"}, "on_leak = 'maybe' is invalid for `prepare`"),
    "shares": ({"evaluation_queries": 0.9, "dev_queries": 0.2}, "leave no query to train on"),
    "recipe": ({"recipe": "magic"}, "There is no recipe 'magic'"),
    "epochs": ({"epochs": -1.0}, "epochs = -1.0 is invalid for `train`"),
    "precision": ({"precision": "fp8"}, "precision = 'fp8' is invalid for `export`"),
    "minimum gain": ({"min_gain": "much"}, "min_gain = 'much' is invalid for `gate`"),
    "batch": ({"processes": 3}, "A batch of 32 examples cannot be shared evenly by 3 processes"),
    "folds on nodes": ({"folds": 5, "num_nodes": 2}, "folds = 5 cross-validates, which trains on one machine"),
    "folds to choose by": (
        {"folds": 5, "base_models": ["a/b", "c/d"]},
        "folds = 5 cross-validates, which leaves no dev query to choose base_models by",
    ),
    "few folds": ({"folds": 3}, "folds = 3 is invalid for `prepare`: not even a gain in each of 3 folds"),
    "nodes": ({"num_nodes": 2}, "add `train_job:` to the pipeline's settings"),
    "guard": ({"guards": {"max_luck": "1"}}, "There is no guard 'max_luck'"),
    "alpha": ({"alpha": 2.0}, "alpha = 2.0 is invalid for `gate`"),
}


@pytest.mark.parametrize(("parameters", "complaint"), INVALID.values(), ids=INVALID)
def test_run_locally_with_an_invalid_parameter_of_any_stage_starts_none(tmp_path, parameters, complaint):
    with pytest.raises(RankliftError, match=complaint):
        run_locally(parameters, tmp_path, lambda line: None)
    assert list(tmp_path.iterdir()) == []


def test_private_folder_is_closed_to_others_and_so_is_a_log(tmp_path):
    (tmp_path / "runs").mkdir(mode=0o755)
    (tmp_path / "old.log").write_text("before")
    assert stat.S_IMODE(private_folder(tmp_path / "runs").stat().st_mode) == 0o700
    with private_log(tmp_path / "old.log") as log:
        log.write(b"now")
    assert stat.S_IMODE((tmp_path / "old.log").stat().st_mode) == 0o600
    assert (tmp_path / "old.log").read_bytes() == b"now"
