"""A release: one version everywhere, notes from the changelog, signatures for everything that is published."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


def release_script():
    spec = importlib.util.spec_from_file_location("release", PROJECT / ".ci" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RELEASE = release_script()


def test_every_file_names_the_version_of_the_project():
    assert RELEASE.disagreements() == []


@pytest.mark.parametrize("file", RELEASE.VERSIONED)
def test_disagreements_of_a_file_with_another_version_names_it(tmp_path, file):
    for name in (*RELEASE.VERSIONED, "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(PROJECT / name, tmp_path / name)
    text = (tmp_path / file).read_text()
    (tmp_path / file).write_text(text.replace(RELEASE.version(), "9.9.9"))
    (sentence,) = RELEASE.disagreements(tmp_path)
    assert sentence.startswith(f"{file} names version 9.9.9, and pyproject.toml {RELEASE.version()}")


def test_check_of_a_tag_that_is_not_the_versions_says_which_it_must_be():
    RELEASE.check(f"v{RELEASE.version()}")
    with pytest.raises(SystemExit, match=rf"The tag is v9\.9\.9 .*must be v{RELEASE.version()}"):
        RELEASE.check("v9.9.9")


CHANGELOG = "# Changelog\n\nWords.\n\n## 0.3.0 - 2027-01-01\n\n- New.\n\n## 0.2.0\n\n- Old.\n"


def test_notes_gives_the_section_of_the_version_alone():
    assert RELEASE.notes(CHANGELOG, "0.3.0") == "- New.\n"
    assert RELEASE.notes(CHANGELOG, "0.2.0") == "- Old.\n"
    with pytest.raises(SystemExit, match=r"no section 0\.1\.0"):
        RELEASE.notes(CHANGELOG, "0.1.0")


@pytest.fixture
def cosign(tmp_path, monkeypatch):
    """A program that notes its arguments, and fails for what is named refused."""
    program, log = tmp_path / "cosign", tmp_path / "calls"
    program.write_text(f'#!/bin/sh\necho "$*" >>{log}\ncase "$*" in *refused*) exit 3 ;; esac\n')
    program.chmod(0o700)
    monkeypatch.setenv("COSIGN", str(program))
    return lambda: log.read_text().splitlines()


def test_sign_images_signs_each_by_its_digest(tmp_path, cosign):
    images = [{"name": f"ghcr.io/you/ranklift-{name}", "digest": f"sha256:{name}"} for name in ("gate", "train")]
    (tmp_path / "images.json").write_text(json.dumps(images))
    RELEASE.sign_images(tmp_path / "images.json")
    assert cosign() == [
        "sign --yes ghcr.io/you/ranklift-gate@sha256:gate",
        "sign --yes ghcr.io/you/ranklift-train@sha256:train",
    ]


def test_sign_files_signs_wheel_archive_and_bills_beside_themselves(tmp_path, cosign):
    (tmp_path / "dist" / "sbom").mkdir(parents=True)
    names = ["ranklift-1-py3-none-any.whl", "ranklift-1.tar.gz", "sbom/ranklift.cdx.json"]
    for name in (*names, "images.json"):
        (tmp_path / "dist" / name).touch()
    RELEASE.sign_files(tmp_path / "dist")
    files = [tmp_path / "dist" / name for name in names]
    assert cosign() == [f"sign-blob --yes --bundle {file}.sigstore.json {file}" for file in files]


def test_signing_that_fails_or_has_nothing_to_sign_ends_the_release(tmp_path, cosign):
    with pytest.raises(SystemExit, match="nothing to sign"):
        RELEASE.sign_files(tmp_path)
    (tmp_path / "ranklift-refused.whl").touch()
    with pytest.raises(SystemExit, match="failed with status 3"):
        RELEASE.sign_files(tmp_path)


def test_signing_without_cosign_says_that_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("COSIGN", str(tmp_path / "absent"))
    (tmp_path / "ranklift-1.whl").touch()
    with pytest.raises(SystemExit, match=r"absent is not installed"):
        RELEASE.sign_files(tmp_path)


@pytest.mark.parametrize("arguments", [[], ["check"], ["sign"]], ids=["nothing", "no tag", "unknown"])
def test_the_script_with_a_wrong_command_line_prints_how_to_use_it(arguments):
    command = [sys.executable, str(PROJECT / ".ci" / "release.py"), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1 and "sign-files dist" in result.stderr
