"""A run is as good as what its stages leave behind, whatever KFP says of them."""

import json
from pathlib import Path

import pytest

from components.errors import RankliftError
from pipeline.run import outputs_of
from pipeline.run_log import RunLog

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
