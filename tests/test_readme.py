"""The README's commands do what it says: its shell and Python blocks are run, in order, in one empty folder."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"(?:<!-- (?P<note>[^\n]*?) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)```", re.DOTALL)
RUNS_ON = "runs until it is stopped"


def blocks() -> list[tuple[str, str, str]]:
    """(note, language, code) of every block."""
    return [(found["note"] or "", found["language"], found["code"]) for found in BLOCK.finditer(README.read_text())]


def test_every_block_that_is_not_run_says_why():
    unknown = [note for note, language, _ in blocks() if note and language in ("sh", "python")]
    assert all(note == RUNS_ON or note.startswith("not run: ") for note in unknown)


def test_nothing_is_left_to_be_filled_in():
    assert "@@" not in README.read_text()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_blocks_run_as_they_stand(tmp_path):
    port = free_port()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RANKLIFT_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "1",
    }
    servers = []
    try:
        for note, language, code in blocks():
            command = [*interpreter(language), code.replace("8080", str(port))]
            if language not in ("sh", "python") or note.startswith("not run: "):
                continue
            if note == RUNS_ON:
                servers.append(subprocess.Popen(command, cwd=tmp_path, env=environment))
                wait_until_ready(port)
                continue
            result = subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
            )
            assert result.returncode == 0, f"{code}\n{result.stdout}\n{result.stderr}"
            assert "Traceback" not in result.stderr
            if "find_similar" in code:
                assert '"index":1' in result.stdout.replace(" ", "")
    finally:
        for server in servers:
            server.terminate()
            server.wait(timeout=60)
    assert (tmp_path / "evaluation.html").is_file()


def interpreter(language: str) -> list[str]:
    # One command, so that the shell becomes the server that is to be stopped.
    return [sys.executable, "-c"] if language == "python" else ["bash", "-euo", "pipefail", "-c"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(port: int) -> None:
    give_up = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/ranklift/ready", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < give_up, "the server of the README did not become ready"
            time.sleep(0.1)
