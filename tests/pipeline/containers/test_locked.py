"""An image installs nothing whose hash is not in the lock, except torch and what torch brings."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.containers import locked

SCRIPT = Path(locked.__file__)
LOCK = """\
# a comment
pydantic-core==2.50.4 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
ipython==9.10.1 ; python_full_version < '3.12' \\
    --hash=sha256:cc
ipython==9.12.0 ; python_full_version >= '3.12' \\
    --hash=sha256:dd
"""


def test_wanted_of_a_locked_package_gives_its_hashes_whatever_the_spelling():
    found = locked.wanted([("pydantic_core", "2.50.4"), ("IPython", "9.12.0")], LOCK)
    assert found.locked == [
        "pydantic-core==2.50.4 --hash=sha256:aa --hash=sha256:bb",
        "ipython==9.12.0 --hash=sha256:dd",
    ]
    assert found.of_torch == []


def test_wanted_of_torch_and_its_packages_of_cuda_gives_exact_versions():
    installs = [("torch", "2.13.0+cpu"), ("nvidia-cublas", "13.1.1.3"), ("triton", "3.7.1")]
    assert locked.wanted(installs, LOCK).of_torch == ["torch==2.13.0+cpu", "nvidia-cublas==13.1.1.3", "triton==3.7.1"]


@pytest.mark.parametrize(
    ("name", "version"), [("requests", "2.33.0"), ("pydantic-core", "2.50.5"), ("torchvision", "0.28.0")]
)
def test_wanted_of_a_package_without_a_hash_is_refused(name, version):
    with pytest.raises(SystemExit, match=rf"no hash for {name} {version}; renew it with `make lock`"):
        locked.wanted([(name, version)], LOCK)


def test_the_script_writes_what_pip_reports(tmp_path):
    report = {"install": [{"metadata": {"name": "pydantic_core", "version": "2.50.4"}}]}
    (tmp_path / "report.json").write_text(json.dumps(report))
    (tmp_path / "requirements.lock").write_text(LOCK)
    # -S: the builder's Python has none of the project's packages.
    command = [sys.executable, "-S", str(SCRIPT), "report.json", "requirements.lock", "."]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert (tmp_path / "locked.txt").read_text() == "pydantic-core==2.50.4 --hash=sha256:aa --hash=sha256:bb\n"
    assert (tmp_path / "of_torch.txt").read_text() == ""
