"""Names of images say what is in them, and what is in them is what the project's extras say."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.errors import RankliftError
from pipeline.cli import app
from pipeline.containers.build import WITH_TORCH, BuildOptions, check_torch
from pipeline.containers.requirements import requirements
from pipeline.containers.runner import (
    ContainerRun,
    ContainerSettings,
    _local_paths,
    check_reachable,
    check_readable,
    container_store,
    docker_client,
)
from pipeline.dag import STAGES
from pipeline.images import TARGETS, image_name, source_tag, stage_images, wheels_tag

PROJECT = Path(__file__).parents[2]


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / ".gitignore").write_text("*.log\n")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


def test_a_clean_checkout_is_named_after_its_commit(checkout):
    assert source_tag(checkout) == git(checkout, "rev-parse", "HEAD")[:12]


def test_what_git_ignores_changes_no_name(checkout):
    clean = source_tag(checkout)
    (checkout / "run.log").write_text("noise")
    assert source_tag(checkout) == clean


def test_a_change_changes_the_name_and_the_same_change_gives_the_same_name(checkout):
    clean = source_tag(checkout)
    (checkout / "stage.py").write_text("one")
    one = source_tag(checkout)
    (checkout / "stage.py").write_text("two")
    two = source_tag(checkout)
    (checkout / "stage.py").write_text("one")
    assert one.startswith(f"{clean}-dirty-")
    assert source_tag(checkout) == one != two
    assert git(checkout, "status", "--porcelain") == "?? stage.py", "the index is as it was"


def test_outside_a_checkout_the_error_says_how_to_name_images(tmp_path):
    with pytest.raises(RankliftError, match="--image-tag or RANKLIFT_IMAGE_TAG"):
        source_tag(tmp_path)


def test_every_stage_has_an_image_with_a_fixed_tag():
    images = stage_images("0123456789ab", "ghcr.io/you/")
    assert set(images) == set(STAGES)
    assert images["champion"] == "ghcr.io/you/ranklift-export:0123456789ab"
    assert images["hold"] == images["gate"]
    assert image_name("train", "1") == "ranklift-train:1"


def test_a_pipeline_is_compiled_with_the_images_of_a_tag(tmp_path):
    flags = ["--image-tag", "0123456789ab", "--image-registry", "ghcr.io/you"]
    result = CliRunner().invoke(
        app, ["compile", "-o", str(tmp_path / "pipeline.yaml"), *flags, "--param", "base_models=a/b,c/d"]
    )
    assert result.exit_code == 0
    compiled = (tmp_path / "pipeline.yaml").read_text()
    for target in TARGETS:
        assert f"image: ghcr.io/you/ranklift-{target}:0123456789ab\n" in compiled
    assert "image: python" not in compiled


def test_every_target_is_one_of_the_dockerfile():
    dockerfile = (PROJECT / "components" / "Dockerfile").read_text()
    for target in TARGETS:
        assert f" AS {target}\n" in dockerfile
    assert " AS predictor\n" in (PROJECT / "kserve" / "Dockerfile").read_text()


def test_both_dockerfiles_share_their_first_layers_word_for_word():
    components, kserve = (
        (PROJECT / folder / "Dockerfile").read_text().split("FROM ${WHEELS_IMAGE}", 1)[1]
        for folder in ("components", "kserve")
    )
    end = kserve.index("# Neither KFP nor")
    assert components[:end] == kserve[:end]


def test_the_extras_of_an_extra_are_in_its_place():
    found = requirements(PROJECT / "pyproject.toml", "export")
    assert {"openvino>=2026.4", "torch>=2.9", "duckdb>=1.4"} <= set(found)
    assert not any(requirement.startswith("ranklift") for requirement in found)


@pytest.mark.parametrize("extra", ["", "data", "evaluate", "deploy", "serve"])
def test_where_no_model_is_made_there_is_no_torch(extra):
    assert not any(
        name in line for line in requirements(PROJECT / "pyproject.toml", extra) for name in ("torch", "sent")
    )


def test_the_requirements_are_printed_by_a_plain_file():
    command = [sys.executable, "-I", "pipeline/containers/requirements.py", "pyproject.toml"]
    printed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split("\n")
    assert printed[:-1] == requirements(PROJECT / "pyproject.toml")


def test_a_folder_without_wheels_is_refused(tmp_path):
    with pytest.raises(RankliftError, match=r"no wheel in .*leave --wheels out"):
        wheels_tag(tmp_path)


def test_without_a_store_that_containers_reach_the_error_names_both_ways_to_one(tmp_path, monkeypatch):
    for name in ("RANKLIFT_S3_ENDPOINT", "RANKLIFT_S3_ENV_FILE", "RANKLIFT_S3_SECRETS_DIR"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RankliftError, match=r"make docker-up.*RANKLIFT_S3_ENDPOINT"):
        container_store(tmp_path)


def test_the_store_of_docker_up_has_another_address_inside_its_network(tmp_path, monkeypatch):
    for name in ("RANKLIFT_S3_ENDPOINT", "RANKLIFT_S3_ENV_FILE", "RANKLIFT_S3_SECRETS_DIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "containers.env").write_text(
        "RANKLIFT_S3_ENDPOINT=http://127.0.0.1:9000\nAWS_ACCESS_KEY_ID=one\nAWS_SECRET_ACCESS_KEY=two\n"
    )
    store = container_store(tmp_path)
    assert store.endpoint == "http://store:9000"
    assert store.secret_key is not None
    assert store.secret_key.get_secret_value() == "two"
    monkeypatch.setenv("RANKLIFT_S3_ENV_FILE", str(tmp_path / "containers.env"))
    assert container_store(tmp_path) == store


def test_an_address_that_means_the_container_itself_is_refused(object_store):
    with pytest.raises(RankliftError, match="inside a container the container itself"):
        check_reachable(object_store, "ranklift")
    check_reachable(object_store, "host")


@pytest.mark.parametrize(
    ("given", "uid", "expected"),
    [("", 1000, (1000, 1000)), ("", 0, (10001, 10001)), ("7:8", 0, (7, 8)), ("7", 1000, (7, 7))],
    ids=["your own", "never root", "as given", "group as user"],
)
def test_who_runs_the_stages(monkeypatch, given, uid, expected):
    monkeypatch.setattr("os.getuid", lambda: uid)
    monkeypatch.setattr("os.getgid", lambda: uid)
    assert ContainerRun("1", "", ContainerSettings(user=given)).user == expected


@pytest.mark.parametrize(
    ("mode", "user", "is_readable"),
    [
        (0o600, "owner", True),
        (0o600, "group", False),
        (0o640, "group", True),
        (0o640, "other", False),
        (0o644, "other", True),
    ],
    ids=["owner", "closed to the group", "group", "closed to others", "others"],
)
def test_a_file_that_the_stages_cannot_read_is_named_before_they_start(tmp_path, mode, user, is_readable):
    folder = tmp_path / "model"
    folder.mkdir(mode=0o755)
    file = folder / "model.safetensors"
    file.write_text("weights")
    file.chmod(mode)
    status = file.stat()
    who = {"owner": (status.st_uid, 1), "group": (status.st_uid + 1, status.st_gid), "other": (status.st_uid + 1, 1)}
    if is_readable:
        check_readable(folder, who[user])
        return
    with pytest.raises(RankliftError, match=r"model\.safetensors cannot be read by user .*chmod -R a\+rX"):
        check_readable(folder, who[user])


def test_when_docker_does_not_answer_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    with pytest.raises(RankliftError, match=r"Docker does not answer .*--runner process"), docker_client():
        pass


class TestTorch:
    """pip's default torch for Linux is gigabytes of CUDA: no image with torch is built before somebody says which."""

    @pytest.mark.parametrize("target", sorted(WITH_TORCH))
    def test_a_build_that_would_guess_is_refused(self, target):
        with pytest.raises(RankliftError, match="TORCH_INDEX="):
            check_torch([target], BuildOptions("0123456789ab"))

    def test_an_index_that_was_named_is_taken(self):
        check_torch(["train"], BuildOptions("0123456789ab", build_args=["TORCH_INDEX=https://wheels.example.com/cpu"]))

    def test_a_wheel_that_was_brought_is_taken(self, tmp_path):
        (tmp_path / "torch-2.13.0-cp311-cp311-linux_x86_64.whl").touch()
        check_torch(["train"], BuildOptions("0123456789ab", wheels=tmp_path))

    def test_images_without_torch_need_neither(self):
        check_torch(["gate", "promote", "predictor"], BuildOptions("0123456789ab"))


def test_local_paths_are_those_of_data_and_of_every_base_model(tmp_path):
    data, first, second = (tmp_path / name for name in ("triplets.csv", "first", "second"))
    for path in (data, first, second):
        path.mkdir()
    parameters = {"data": str(data), "base_models": [str(first), "a/b", str(second), str(tmp_path / "none")]}
    assert _local_paths(parameters) == [data, first, second]
