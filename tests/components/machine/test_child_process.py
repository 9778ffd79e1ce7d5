"""What a process says is shown, and how a signal ended it is a sentence."""

import signal
import subprocess
import sys
from collections import deque

import pytest

from components.machine.child_process import death_by_signal, shown


def run(code):
    """A Python process that runs this code; its output is a pipe."""
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_shown_passes_each_line_on_and_gives_it(capsys):
    with run("print('one'); print('two'); print('three')") as process:
        assert deque(shown(process.stdout), maxlen=2) == deque(["two\n", "three\n"])
    assert capsys.readouterr().err == "one\ntwo\nthree\n"


def test_shown_of_a_process_without_a_pipe_is_nothing():
    assert list(shown(None)) == []


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        pytest.param(
            signal.SIGKILL,
            "It was killed (SIGKILL), most often because memory ran out; give the stage more memory, or rest.",
            id="killed",
        ),
        pytest.param(signal.SIGABRT, "It died of SIGABRT; rest, or report it.", id="crashed"),
        pytest.param(
            signal.SIGRTMIN + 1, f"It died of signal {signal.SIGRTMIN + 1}; rest, or report it.", id="no name"
        ),
    ],
)
def test_death_by_signal_names_it_and_says_what_to_do(number, sentence):
    with run(f"import os; os.kill(os.getpid(), {int(number)})") as process:
        assert process.wait() == -number
    assert death_by_signal(process.returncode, "It", "rest") == sentence


@pytest.mark.parametrize("status", [0, 1, 2])
def test_death_by_signal_of_a_process_that_ended_by_itself_is_empty(status):
    assert death_by_signal(status, "It", "rest") == ""
