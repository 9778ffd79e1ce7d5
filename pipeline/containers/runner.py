"""Runs of the pipeline in containers on this machine: what every stage's container gets, and what it may not do."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from components.errors import RankliftError
from components.object_store.settings import BUCKET, ObjectStoreSettings
from pipeline.images import PREDICTOR, image_name, image_tag, stage_images
from pipeline.parameters import LOCAL_PATHS

#: What `make docker-up` keeps below ranklift's data folder: keys and address of the object store that it starts.
ENVIRONMENT_FILE = "containers.env"
PROJECT = "ranklift"  #: of Compose; its network has the same name
STORE_IN_NETWORK = "http://store:9000"
PREDICTOR_IN_NETWORK = "http://predictor:8080"
#: Who runs in the images, and in a container that root starts.
IMAGE_USER = 10001
_HOME = "/var/lib/ranklift"
_CACHE = "/var/cache/ranklift"
_CA_FILE = "/etc/ranklift-ca.pem"
#: What the stages need to know of this machine's environment: how it reaches the model hub, where checkpoints go.
_PASSED_ON = (
    "HF_TOKEN",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "RANKLIFT_CHECKPOINTS",
)


class ContainerSettings(BaseSettings):
    """How the stages' containers run; each field may come from ``RANKLIFT_DOCKER_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="RANKLIFT_DOCKER_", extra="ignore", env_ignore_empty=True)

    network: str = PROJECT  #: the Docker network from which the object store is reached
    memory: str = Field("", pattern=r"^(\d+[bkmg]?)?$")  #: most memory of a stage, such as 4g; no limit when empty
    cpus: float = Field(0.0, ge=0)  #: most processors of a stage; no limit when 0
    user: str = Field("", pattern=r"^(\d+(:\d+)?)?$")  #: uid[:gid]; your own when empty, 10001 when you are root


class ContainerRun(NamedTuple):
    """A run's images and settings."""

    tag: str
    registry: str
    settings: ContainerSettings

    @property
    def images(self) -> dict[str, str]:
        """The image of each stage."""
        return stage_images(self.tag, self.registry)

    @property
    def user(self) -> tuple[int, int]:
        """uid and gid of every stage."""
        if self.settings.user:
            uid, _, gid = self.settings.user.partition(":")
            return int(uid), int(gid or uid)
        return (os.getuid(), os.getgid()) if os.getuid() else (IMAGE_USER, IMAGE_USER)

    @property
    def predictor(self) -> str:
        """The predictor's image."""
        return image_name(PREDICTOR, self.tag, self.registry)

    @property
    def user_and_group(self) -> str:
        """`user` as Docker writes it."""
        return "{}:{}".format(*self.user)


def container_run(tag: str = "", registry: str = "") -> ContainerRun:
    """Return a run with the images of a tag, by default `image_tag`'s; settings come from the environment.

    Raises:
        RankliftError: when no tag is set and this is not a checkout.
    """
    return ContainerRun(image_tag(tag), registry, ContainerSettings())


@contextmanager
def docker_client() -> Iterator[Any]:
    """Open a client of the Docker engine.

    Raises:
        RankliftError: when Docker's Python client is not installed, or the engine does not answer.
    """
    try:
        import docker
    except ImportError:
        raise RankliftError(
            "Running in containers needs Docker's Python client; `pip install 'ranklift[containers]'`."
        ) from None
    try:
        client = docker.from_env()
    except docker.errors.DockerException as error:
        raise RankliftError(
            f"Docker does not answer ({error}); start it, or run in processes with --runner process."
        ) from error
    try:
        yield client
    finally:
        client.close()


def container_store(home: Path) -> ObjectStoreSettings:
    """Return the object store as containers reach it: the environment's, else the store of `make docker-up`.

    Raises:
        RankliftError: when there is neither, or the address means a container itself when a container uses it.
    """
    own = _composed_store(home)
    settings = ObjectStoreSettings.from_environment()
    if settings is None or (own is not None and settings.endpoint == own.endpoint):
        if own is None:
            raise RankliftError(
                "No object store that containers reach is configured; start one with `make docker-up`, or set "
                "RANKLIFT_S3_ENDPOINT, such as http://minio.example.com:9000."
            )
        return own.model_copy(update={"endpoint": STORE_IN_NETWORK})
    return settings


def _composed_store(home: Path) -> ObjectStoreSettings | None:
    file = home / ENVIRONMENT_FILE
    if not file.is_file():
        return None
    values = dict(line.split("=", 1) for line in file.read_text(encoding="utf-8").splitlines() if "=" in line)
    return ObjectStoreSettings.of(
        endpoint=values.get("RANKLIFT_S3_ENDPOINT", ""),
        bucket=BUCKET,
        access_key=values.get("AWS_ACCESS_KEY_ID"),
        secret_key=values.get("AWS_SECRET_ACCESS_KEY"),
        session_token=None,
        ca_file=None,
        virtual_host=False,
    )


def check_reachable(store: ObjectStoreSettings, network: str) -> None:
    """Raise a RankliftError when the store's address means a container itself when a container uses it."""
    if urlsplit(store.endpoint).hostname in {"localhost", "127.0.0.1", "::1"} and network != "host":
        raise RankliftError(
            f"RANKLIFT_S3_ENDPOINT={store.endpoint} is this machine, and inside a container the container itself; give "
            "an address that containers reach, or run them on this machine's network with RANKLIFT_DOCKER_NETWORK=host."
        )


def docker_runner(
    run: ContainerRun, folder: Path, home: Path, store: ObjectStoreSettings, parameters: Mapping[str, Any]
) -> Any:
    """KFP's DockerRunner for one run: unprivileged, read-only but for the run's folders, keys in the environment alone.

    Args:
        run: images and settings.
        folder: the run's folder; its artifacts are what the containers write.
        home: ranklift's data folder, of which containers see what is served, and the cache.
        store: the object store as containers reach it.
        parameters: the pipeline's; files and folders of this machine that they name are mounted where they are.

    Raises:
        RankliftError: when Docker does not answer, or lacks an image or the network.
    """
    from docker.types import Mount
    from kfp import local

    check_reachable(store, run.settings.network)
    inputs = _local_paths(parameters)
    for path in inputs:
        check_readable(path, run.user)
    with docker_client() as client:
        _check_images(client, run)
        _check_network(client, run.settings.network)
        serving_url = _serving_url(client, run.settings.network)
    mounts = [Mount(str(path), str(path), type="bind", read_only=True) for path in inputs]
    for inside, outside in ((f"{_HOME}/serving", home / "serving"), (_CACHE, home / "cache")):
        give(outside, run.user)
        mounts.append(Mount(inside, str(outside), type="bind"))
    give(folder / "artifacts", run.user)
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment |= {"RANKLIFT_HOME": _HOME, "RANKLIFT_CACHE": _CACHE, "HF_HOME": f"{_CACHE}/huggingface"}
    environment |= store.environment()
    if store.ca_file is not None:
        mounts.append(Mount(_CA_FILE, str(store.ca_file.resolve()), type="bind", read_only=True))
        environment["RANKLIFT_S3_CA_FILE"] = _CA_FILE
    if serving_url:
        environment["RANKLIFT_SERVING_URL"] = serving_url
    return local.DockerRunner(
        environment=environment,
        mounts=mounts,
        user=run.user_and_group,
        network=run.settings.network,
        **confinement(run.settings),
    )


def confinement(settings: ContainerSettings) -> dict[str, Any]:
    """docker-py's arguments for a container that may write to /tmp and its mounts, and has no privilege at all."""
    limits: dict[str, Any] = {}
    if settings.memory:
        limits |= {"mem_limit": settings.memory, "memswap_limit": settings.memory}
    if settings.cpus:
        limits["nano_cpus"] = int(settings.cpus * 1e9)
    return limits | {
        "read_only": True,
        "tmpfs": {"/tmp": "mode=1777"},  # noqa: S108 - a path inside the container
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "init": True,
    }


def _local_paths(parameters: Mapping[str, Any]) -> list[Path]:
    named = [str(parameters.get(name) or "") for name in LOCAL_PATHS] + list(parameters.get("base_models") or ())
    return list(dict.fromkeys(Path(name) for name in named if Path(name).is_absolute() and Path(name).exists()))


def check_readable(path: Path, user: tuple[int, int]) -> None:
    """Raise a RankliftError when a file that the stages are to read is closed to who runs them."""
    uid, gid = user
    for file in (path, *path.rglob("*")):
        status = file.stat()
        shift = 6 if status.st_uid == uid else 3 if status.st_gid == gid else 0
        needed = 0o5 if file.is_dir() else 0o4
        if status.st_mode >> shift & needed != needed:
            raise RankliftError(
                f"{file} cannot be read by user {uid}, who runs the stages; open it with `chmod -R a+rX {path}`, or "
                f"name another user with RANKLIFT_DOCKER_USER, such as {status.st_uid}:{status.st_gid}."
            )


def give(folder: Path, user: tuple[int, int]) -> None:
    """Make a folder that the containers' user may write to; only root can and must give it away."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, *user, follow_symlinks=False)


def _check_images(client: Any, run: ContainerRun) -> None:
    from docker.errors import ImageNotFound

    for image in sorted(set(run.images.values())):
        try:
            client.images.get(image)
        except ImageNotFound:
            raise RankliftError(
                f"There is no image {image} on this machine; build it with `make docker-build`, or name the tag that "
                "you built or pulled with --image-tag."
            ) from None


def _check_network(client: Any, network: str) -> None:
    if network not in {found.name for found in client.networks.list()}:
        raise RankliftError(
            f"Docker has no network {network!r}; `make docker-up` makes {PROJECT!r}, or name one of yours with "
            "RANKLIFT_DOCKER_NETWORK."
        )


def _serving_url(client: Any, network: str) -> str:
    """Where the predictor that `make docker-up` started answers; empty when there is none in this network."""
    found = client.containers.list(filters={"label": "com.docker.compose.service=predictor", "network": network})
    return PREDICTOR_IN_NETWORK if found else ""
