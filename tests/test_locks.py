"""What is installed is pinned: `requirements.lock`, `constraints.txt` and `pyproject.toml` agree."""

import importlib.util
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
LOCKED = (PROJECT / "requirements.lock").read_text()
CONSTRAINTS = (PROJECT / "constraints.txt").read_text()


def lock_script():
    spec = importlib.util.spec_from_file_location("lock", PROJECT / ".ci" / "lock.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LOCK = lock_script()


def pinned(lines: list[str]) -> set[str]:
    return {line.removesuffix(" \\") for line in lines if "==" in line and not line.startswith("#")}


def test_constraints_name_the_same_versions_as_the_lock():
    locked = pinned([lines[0] for lines in LOCK.packages(LOCKED)])
    missing = pinned(CONSTRAINTS.splitlines()) ^ locked
    assert {line.split("==")[0] for line in missing} == {"torch"}, f"run `make lock`: {sorted(missing)}"


def test_every_locked_package_has_a_hash():
    bare = [first for first, *rest in LOCK.packages(LOCKED) if not any("--hash=sha256:" in line for line in rest)]
    assert bare == [], "run `make lock`"


def declared() -> list[Requirement]:
    extras = PYPROJECT["optional-dependencies"].values()
    lines = [*PYPROJECT["dependencies"], *(line for extra in extras for line in extra)]
    return [found for line in lines if (found := Requirement(line)).name != PYPROJECT["name"]]


@pytest.mark.parametrize("requirement", sorted(set(declared()), key=str), ids=str)
def test_what_is_declared_is_pinned_to_a_version_that_fits(requirement):
    pins = [Requirement(line) for line in sorted(pinned(CONSTRAINTS.splitlines()))]
    versions = [pin for pin in pins if canonicalize_name(pin.name) == canonicalize_name(requirement.name)]
    assert versions, "run `make lock`"
    for pin in versions:
        (exact,) = pin.specifier
        assert exact.version in requirement.specifier, "run `make lock`"


LOCKFILE = """\
# header
alpha==1.0 \\
    --hash=sha256:aa
cuda-bindings==13.5.0 ; sys_platform == 'linux' \\
    --hash=sha256:bb \\
    --hash=sha256:cc
torch==2.13.0 \\
    --hash=sha256:dd
"""


def test_packages_leaves_out_what_only_torch_brings_with_its_hashes():
    assert list(LOCK.packages(LOCKFILE)) == [
        ["alpha==1.0 \\", "    --hash=sha256:aa"],
        ["torch==2.13.0 \\", "    --hash=sha256:dd"],
    ]


DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize("file", LOCK.IMAGES)
def test_with_image_pins_every_base_image_and_renews_the_digest(file):
    text, before = (PROJECT / file).read_text(), LOCK.IMAGES[file]
    image = LOCK.image_after(text, before)
    once = LOCK.with_image(text, before, f"{image}@{DIGEST}")
    assert f"{before}{image}@{DIGEST}" in once
    assert LOCK.image_after(once, before) == image
    renewed = f"{image}@{DIGEST.replace('0', 'f')}"
    assert LOCK.with_image(once, before, renewed) == once.replace(f"{image}@{DIGEST}", renewed)


def test_digest_of_asks_docker_and_refuses_an_answer_that_is_no_digest(tmp_path, monkeypatch):
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\n[ "$4" = known:1 ] && echo {DIGEST} || echo "no such image" >&2\n')
    docker.chmod(0o700)
    monkeypatch.setenv("DOCKER", str(docker))
    assert LOCK.digest_of("known:1") == DIGEST
    with pytest.raises(SystemExit, match=r"no digest for unknown:1 \(no such image\)"):
        LOCK.digest_of("unknown:1")
