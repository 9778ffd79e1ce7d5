"""The folder for work in progress: gone at the end, and the next one removes what killed processes left."""

import os
import subprocess
import sys

import pytest

from components.machine.scratch_folder import scratch_folder

#: Makes a scratch folder, tells that it is there, and stays.
HOLDER = """
import sys
from pathlib import Path
from components.machine.scratch_folder import scratch_folder
with scratch_folder(Path(sys.argv[1]), ".work-") as folder:
    (folder / "big").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that works in a scratch folder beside ours."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith(str(tmp_path))
    yield process
    process.kill()
    process.communicate()


def test_it_is_gone_at_the_end_whatever_happened(tmp_path):
    with pytest.raises(ZeroDivisionError), scratch_folder(tmp_path, ".work-") as folder:
        (folder / "part").write_text("x")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_one_in_use_is_left_alone_and_one_of_a_killed_process_is_removed(tmp_path, holder):
    with scratch_folder(tmp_path, ".work-") as ours:
        assert len(list(tmp_path.glob(".work-*/big"))) == 1
        holder.kill()
        holder.wait()
        with scratch_folder(tmp_path, ".work-") as second:
            assert sorted(tmp_path.iterdir()) == sorted([ours, second])
    assert list(tmp_path.iterdir()) == []


def test_one_of_an_earlier_release_which_has_no_lock_is_removed_when_it_is_old(tmp_path):
    young, old = tmp_path / ".work-young", tmp_path / ".work-old"
    for folder in (young, old):
        folder.mkdir()
    os.utime(old, (0, 0))
    with scratch_folder(tmp_path, ".work-"):
        assert young.exists()
        assert not old.exists()


def test_what_has_another_name_is_not_touched(tmp_path):
    (tmp_path / "precious").mkdir()
    os.utime(tmp_path / "precious", (0, 0))
    with scratch_folder(tmp_path, ".work-"):
        pass
    assert (tmp_path / "precious").is_dir()
