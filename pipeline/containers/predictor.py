"""The predictor as a container of this machine, unprivileged and read-only, as a cluster runs it."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from components.deploy.settings import HTTP_PORT
from components.deploy.smoke import is_ready
from components.errors import RankliftError
from components.model.served import MODEL_NAME
from pipeline.containers.runner import ContainerRun, ContainerSettings, confinement, docker_client

_READY_WITHIN = 120.0


@contextmanager
def predictor_container(image: str, model: Path, user: str = "") -> Iterator[str]:
    """Serve a model directory, or a link to one, while the context lasts; gives the URL on loopback once it is ready.

    Args:
        image: the predictor's image.
        model: mounted at /mnt/models, where KServe mounts a model; nothing in it can be written to.
        user: uid:gid; the image's own, 10001, when empty.

    Raises:
        RankliftError: when Docker refuses, or the predictor ends or is not ready in time; with the end of its log.
    """
    from docker.errors import APIError, ImageNotFound
    from docker.types import Mount

    folder = model.resolve()
    with docker_client() as client:
        try:
            container = client.containers.run(
                image,
                [f"--model_name={MODEL_NAME}", f"--http_port={HTTP_PORT}", "--enable_grpc=false"],
                mounts=[Mount("/mnt/models", str(folder), type="bind", read_only=True)],
                environment={"RANKLIFT_PREDICTOR_MODEL_VERSION": folder.name},
                ports={f"{HTTP_PORT}/tcp": ("127.0.0.1", None)},
                user=user or None,
                detach=True,
                **confinement(ContainerSettings()),
            )
        except ImageNotFound:
            raise RankliftError(f"There is no image {image} here; build it with `make docker-build`.") from None
        except APIError as error:
            raise RankliftError(f"Docker did not start {image}: {error.explanation}.") from error
        try:
            yield _when_ready(container)
        finally:
            container.remove(force=True, v=True)


def _when_ready(container: Any) -> str:
    give_up = time.monotonic() + _READY_WITHIN
    while True:
        container.reload()
        published = container.ports.get(f"{HTTP_PORT}/tcp")
        if container.status == "running" and published:
            url = f"http://127.0.0.1:{published[0]['HostPort']}"
            if is_ready(url):
                return url
        if container.status == "exited" or time.monotonic() > give_up:
            log = container.logs(tail=20).decode("utf-8", "replace")
            raise RankliftError(f"The predictor's container was not ready ({container.status}); its log ends:\n{log}")
        time.sleep(0.1)


def serve_in_container(run: ContainerRun) -> Callable[[Path, Path], AbstractContextManager[str]]:
    """How `ask_champion` serves a model when the pipeline ran in containers."""

    def serve(model: Path, _log: Path) -> AbstractContextManager[str]:
        return predictor_container(run.predictor, model, run.user_and_group)

    return serve
