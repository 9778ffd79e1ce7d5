"""What surrounds a stage: how it ends, what its log and its pod's status say, and where the time went."""

import io
import json
import logging
import re
import subprocess
import sys

import pytest

from components.errors import ERROR_PREFIX, DataError, StoppedError
from components.machine.stamped_lines import StampedLines
from components.records.decision import Decision
from components.records.scores import ScoreFile
from components.records.stage_times import StageTimes
from components.stage import Stage
from tests.factories.decisions import make_decision

STAMP = r"\d\d:\d\d:\d\d "


@pytest.fixture
def status(tmp_path, monkeypatch):
    """The file that a pod's status is made of."""
    file = tmp_path / "termination-log"
    file.touch()
    monkeypatch.setattr("components.stage.TERMINATION_LOG", file)
    return file


def run(error):
    with Stage("prepare"):
        if error is not None:
            raise error


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        pytest.param(DataError("clicks.csv has no column positive; name it so."), 2, "clicks.csv has no", id="data"),
        pytest.param(OSError(28, "No space left on device", "/out"), 2, "/out cannot be written or read", id="disk"),
        pytest.param(StoppedError("Stopped by SIGTERM."), 143, "Stopped by SIGTERM.", id="stopped"),
    ],
)
def test_stage_with_an_error_for_a_person_tells_it_in_log_and_status(status, capsys, error, code, sentence):
    with pytest.raises(SystemExit) as ended:
        run(error)
    assert ended.value.code == code
    assert f"{ERROR_PREFIX}{sentence}" in capsys.readouterr().err
    assert status.read_text().startswith(f"prepare: {sentence}")


def test_stage_with_a_value_that_will_not_do_names_it(status):
    with pytest.raises(SystemExit), Stage("gate"):
        ScoreFile.model_validate({"metrics": 3})
    assert re.match(r"gate: \S+ = .* is invalid", status.read_text())


def test_stage_with_a_fault_of_its_own_keeps_the_traceback_and_names_it_in_the_status(status):
    with pytest.raises(KeyError):
        run(KeyError("digest"))
    assert status.read_text() == "prepare: KeyError: 'digest'"


def test_stage_status_is_cut_to_what_kubernetes_keeps(status):
    with pytest.raises(SystemExit):
        run(DataError("é" * 5000))
    kept = status.read_bytes()
    assert len(kept) <= 4096
    assert kept.decode("utf-8").endswith("é"), "no letter is cut in two: the status is text"


def test_stage_without_a_pod_writes_no_status(status):
    status.unlink()
    with pytest.raises(SystemExit):
        run(DataError("no"))
    assert not status.exists()


def test_stage_that_ends_well_tells_its_times(status, capsys):
    run(None)
    times = StageTimes.find(capsys.readouterr().err)
    assert 0 < times.imports <= times.ended - times.began + 0.05
    assert status.read_text() == ""


def test_stage_raises_the_level_of_the_log_and_puts_it_back():
    before = logging.getLogger().level
    with Stage("train"):
        assert logging.getLogger().level == logging.WARNING
    assert logging.getLogger().level == before


PROGRESS = """
import os, sys
os.environ["KUBERNETES_SERVICE_HOST"] = "10.0.0.1"
from components.stage import Stage
with Stage("export"):
    from tqdm.auto import tqdm
    from sentence_transformers import SentenceTransformer
    import logging
    logging.getLogger().info("from a library")
    for _ in tqdm(range(3)):
        print("export: a step", file=sys.stderr)
    SentenceTransformer(sys.argv[1], device="cpu").encode(["sort"])
"""


def test_stage_in_a_pod_logs_lines_with_a_time_and_no_bars(tiny_model):
    command = [sys.executable, "-c", PROGRESS, str(tiny_model)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    lines = result.stderr.splitlines()
    assert all(re.match(STAMP, line) for line in lines), lines
    assert [line for line in lines if line.endswith("export: a step")] == lines[:3]
    assert not re.search(r"%\||it/s|from a library", result.stdout + result.stderr)


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        pytest.param(["one\ntwo\n"], ["one", "two"], id="lines"),
        pytest.param(["o", "ne\n"], ["one"], id="a line in pieces"),
        pytest.param([" 10%\r", " 50%\r", "100%\n"], ["100%"], id="a line that is drawn over"),
        pytest.param(["one\r", "\n"], ["one"], id="a carriage return before the end"),
        pytest.param(["no end"], ["no end"], id="the rest"),
    ],
)
def test_stamped_lines_are_whole_and_have_a_time(written, lines):
    stream = io.StringIO()
    stamped = StampedLines(stream)
    for text in written:
        stamped.write(text)
    stamped.close()
    assert [re.sub(f"^{STAMP}", "", line).strip() for line in stream.getvalue().splitlines()] == lines
    assert all(re.match(STAMP, line) for line in stream.getvalue().splitlines())


def test_times_are_read_from_a_log_again_the_last_ones():
    first, last = StageTimes(1.5, 9.0, 0.5), StageTimes(11.5, 19.0, 0.5)
    log = f"10:00:00 {first.line()}\n10:00:01 {last.line()}\r\nlater\n"
    assert StageTimes.find(log) == last
    assert StageTimes.find("nothing") is None
    assert "imports 0.5 s, work 7.0 s;" in first.line()


def test_decision_is_read_from_a_log_again_with_its_figures():
    decision = make_decision(verdict="hold", reason="Held: the gain is too small.")
    assert Decision.find(f"Held.\n10:00:00 {decision.line()}\nmore") == decision
    assert Decision.find("nothing") is None
    with pytest.raises(DataError, match="the stage's log is not a decision record"):
        Decision.find(f"ranklift: decision: {json.dumps({'verdict': 'maybe'})}")
