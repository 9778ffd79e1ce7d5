"""The images that `make docker-build` built from this checkout, and an object store on a Docker network."""

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from components.object_store.client import ObjectStore
from components.object_store.embedded import weed_binary
from components.object_store.settings import ObjectStoreSettings
from components.registry.registry import Registry
from pipeline.containers import compose
from pipeline.containers.build import check_image, docker
from pipeline.containers.runner import ContainerRun, container_run
from pipeline.images import PREDICTOR, TARGETS
from pipeline.local.run import RunResult, run_locally
from tests.factories.datasets import write_triplets

PROJECT = "ranklift-test"
TEST_IMAGES = ("store", "storage-initializer")
tables: dict[str, list[str]] = {}


class Stack(NamedTuple):
    """What `make docker-up` started for the tests."""

    home: Path
    containers: ContainerRun
    registry: Registry
    predictor_url: str
    told: list[str]


class Walks(NamedTuple):
    """Two runs of the pipeline in containers on one registry."""

    promoted: RunResult
    held: RunResult


@pytest.fixture(scope="session")
def containers() -> ContainerRun:
    """The images of this checkout; that one is missing is a failure."""
    run = container_run()
    sizes = {name: check_image(image) for name, image in {**run.images, PREDICTOR: run.predictor}.items()}
    names = [*TARGETS, PREDICTOR]
    tables["image size, MB"] = [f"{name:<12}{round(sizes[name] / 1e6):>8}" for name in names]
    return run


@pytest.fixture(scope="session")
def test_images(tmp_path_factory) -> dict[str, str]:
    """An S3 server and KServe's storage initializer, as images."""
    folder = tmp_path_factory.mktemp("images")
    for file in ("Dockerfile", "store.sh"):
        shutil.copy(Path(__file__).with_name(file), folder)
    shutil.copy(weed_binary(), folder / "weed")
    secret = ["--secret", f"id=pip_ca,src={os.environ['PIP_CERT']}"] if os.environ.get("PIP_CERT") else []
    for target in TEST_IMAGES:
        command = [docker(), "build", "--target", target, "--tag", f"ranklift-test-{target}:1", *secret, "."]
        environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
        built = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stderr
    return {target: f"ranklift-test-{target}:1" for target in TEST_IMAGES}


@pytest.fixture(scope="session")
def stack(containers, test_images, tmp_path_factory):
    """The services of compose.yaml under a name of their own, the store an image of the tests."""
    home = tmp_path_factory.mktemp("home")
    ports = {"RANKLIFT_STORE_PORT": str(free_port()), "RANKLIFT_PREDICTOR_PORT": str(free_port())}
    told: list[str] = []
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {
            **ports,
            "COMPOSE_PROJECT_NAME": PROJECT,
            "RANKLIFT_DOCKER_NETWORK": PROJECT,
            "RANKLIFT_STORE_IMAGE": test_images["store"],
        }.items():
            environment.setenv(name, value)
        for name in ("RANKLIFT_S3_ENDPOINT", "RANKLIFT_HOME"):
            environment.delenv(name, raising=False)
        run = container_run(containers.tag)
        try:
            compose.up(home, run.tag, "", told.append)
            file = home / "containers.env"
            with pytest.MonkeyPatch.context() as inner:
                inner.setenv("RANKLIFT_S3_ENV_FILE", str(file))
                settings = ObjectStoreSettings.from_environment()
            url = f"http://127.0.0.1:{ports['RANKLIFT_PREDICTOR_PORT']}"
            yield Stack(home, run, Registry(ObjectStore(settings)), url, told)
        finally:
            compose.down(home, run.tag, "", volumes=True)


@pytest.fixture(scope="session")
def parameters(tiny_model, tmp_path_factory) -> dict[str, object]:
    """A run that a tiny model gains from, in seconds."""
    folder = tmp_path_factory.mktemp("data")
    data = write_triplets(folder / "triplets.csv", 600)
    model = shutil.copytree(tiny_model, folder / "model")
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    return {
        "data": str(data), "base_model": str(model), "evaluation_queries": 100.0, "epochs": 2.0,
        "batch_size": 16, "learning_rate": 2e-3,
    }  # fmt: skip


@pytest.fixture(scope="session")
def walks(stack, parameters) -> Walks:
    """A real gain, then the same candidate again."""
    lines: list[str] = []
    first = run_locally(parameters, stack.home, lines.append, stack.containers)
    again = run_locally(parameters, stack.home, lines.append, stack.containers)
    for name, run in (("promoted", first), ("held", again)):
        tables[f"stage, seconds ({name})"] = [f"{stage.stage:<12}{stage.seconds:>8}" for stage in run.stages]
    return Walks(first, again)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pytest_terminal_summary(terminalreporter):
    for title, lines in tables.items():
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)
