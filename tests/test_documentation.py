"""The documentation's commands do what it says: the shell and Python blocks of README and docs run as they stand.

Each page runs in a copy of the folder that "Get started" leaves behind, since pages use its files.
"""

import ast
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
DOCS = PROJECT / "docs"
START = DOCS / "get-started.md"
PAGES = [PROJECT / "README.md", *sorted(DOCS.glob("**/*.md"))]
BLOCK = re.compile(r"(?:<!-- (?P<note>[^\n]*?) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)```", re.DOTALL)
RUNS_ON = "runs until it is stopped"
QUOTED = re.compile(r'\*\*"(?P<message>.*?)"', re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """(note, language, code) of every block of a page that a shell or Python runs."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [(one["note"] or "", one["language"], one["code"]) for one in found if one["language"] in ("sh", "python")]


RUN = [page for page in PAGES if page != START and not all(note.startswith("not run: ") for note, _, _ in blocks(page))]


def name(page: Path) -> str:
    return str(page.relative_to(PROJECT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_that_is_not_run_says_why(page):
    notes = [note for note, _, _ in blocks(page) if note]
    assert all(note == RUNS_ON or note.startswith("not run: ") for note in notes)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files_that_are_there(page):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_page_is_in_the_site_and_in_the_readme():
    site, readme = (PROJECT / "mkdocs.yml").read_text(), (PROJECT / "README.md").read_text()
    pages = [page.name for page in PAGES if page.parent == DOCS]
    assert [page for page in pages if f": {page}" not in site] == []
    assert [
        page for page in pages if f"docs/{page}" not in readme and page not in ("index.md", "cluster-tests.md")
    ] == []


def test_the_errors_page_quotes_messages_that_the_code_has():
    sources = [
        path for room in ("components", "pipeline", "kserve/predictor") for path in (PROJECT / room).rglob("*.py")
    ]
    messages = "\n".join(strings_of(path) for path in sources)
    quoted = [one["message"].replace("\n", " ") for one in QUOTED.finditer((DOCS / "errors.md").read_text())]
    parts = [part.strip(" .:,") for message in quoted for part in message.split("…")]
    assert quoted
    assert [part for part in parts if part and part not in messages] == []


def strings_of(path: Path) -> str:
    """The texts of a source, each f-string in one piece with nothing where a value goes."""
    texts = [
        "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
        if isinstance(node, ast.JoinedStr)
        else str(node.value)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr | ast.Constant)
    ]
    return "\n".join(texts)


@pytest.fixture(scope="module")
def started(tmp_path_factory) -> Path:
    """The folder after every command of "Get started"."""
    folder = tmp_path_factory.mktemp("started")
    run(START, folder)
    assert (folder / "evaluation.html").is_file()
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", RUN, ids=name)
def test_the_blocks_of_a_page_run_as_they_stand(page, started, tmp_path):
    folder = tmp_path / "here"
    shutil.copytree(started, folder, ignore=shutil.ignore_patterns("store"))
    run(page, folder)


def run(page: Path, folder: Path) -> None:
    """Run a page's blocks in order in one folder, with its servers stopped at the end."""
    port = free_port()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RANKLIFT_HOME": str(folder / "home"),
        "HF_HUB_OFFLINE": "1",
    }
    servers: list[subprocess.Popen[bytes]] = []
    try:
        for note, language, code in blocks(page):
            command = [*interpreter(language), code.replace("8080", str(port))]
            if note.startswith("not run: "):
                continue
            if note == RUNS_ON:
                servers.append(subprocess.Popen(command, cwd=folder, env=environment))
                wait_until_ready(port)
                continue
            result = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
            )
            assert result.returncode == 0, f"{code}\n{result.stdout}\n{result.stderr}"
            assert "Traceback" not in result.stderr
            if "find_similar" in code:
                assert '"index":1' in result.stdout.replace(" ", "")
    finally:
        for server in servers:
            server.terminate()
            server.wait(timeout=60)


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
            assert time.monotonic() < give_up, "the server of the page did not become ready"
            time.sleep(0.1)
