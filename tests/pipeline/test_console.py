"""What a person sees: plain lines in a log, and on a terminal a sign that work goes on."""

import json
import os
import pty
import re
import subprocess
import sys

from pipeline.console import table

SHOW = """
import time
from pipeline.console import progress_display
with progress_display() as show:
    show("  train [1/2] …")
    time.sleep(1.2)
    show("  train done")
"""


def test_in_a_log_there_are_plain_lines_alone():
    result = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == ""
    assert result.stderr == "  train [1/2] …\n  train done\n"


def test_on_a_terminal_the_running_stage_is_shown_with_its_time():
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([sys.executable, "-c", SHOW], stderr=theirs, stdout=subprocess.DEVNULL, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other side was closed
            break
        if not piece:
            break
        shown += piece
    assert process.wait(timeout=60) == 0
    os.close(ours)
    text = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", shown.decode())
    assert "train [1/2] … 0:00:01" in text
    assert "  train done" in text


WORK = """
from pipeline.console import answer, working
with working("export"):
    print("a library's own words")
answer({"done": True}, "Done.", as_json=True)
"""


def test_what_libraries_print_is_no_part_of_the_result():
    result = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(result.stdout) == {"done": True}
    assert result.stderr == "export …\na library's own words\n"


def test_a_table_puts_numbers_to_the_right():
    assert table(("stage", "seconds"), [("train", 100.5), ("gate", 2)]) == (
        "stage  seconds\ntrain    100.5\ngate         2"
    )
