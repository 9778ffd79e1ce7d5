"""The metrics on a separate port, which a cluster's gateway does not route to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from kserve.protocol.rest.server import metrics_handler
from starlette.applications import Starlette
from starlette.routing import Route
from uvicorn.config import Config
from uvicorn.server import Server

from components.errors import RankliftError
from predictor.http.server import bind
from predictor.settings import PredictorSettings

_CONNECTIONS = 16  # at once: a monitoring system asks now and then


class _Server(Server):
    """Leaves signals to `RankServer`, which drains before it stops."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def metrics_served(settings: PredictorSettings) -> AsyncIterator[str]:
    """Answer ``GET /metrics`` at its own port while the block runs, without a token: who reaches the port may read it.

    Yields the address; empty where the settings name no port, and the metrics are among the other routes.

    Raises:
        RankliftError: when the port is taken.
    """
    host, port = settings.host, settings.metrics_port
    if not port:
        yield ""
        return
    try:
        bound = bind(host, port)
    except OSError as error:
        raise RankliftError(
            f"Cannot listen on {host}:{port} for the metrics: {error.strerror or error}; give another --metrics_port."
        ) from error
    bound.listen()
    server = _Server(_config())
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        yield f"{host}:{port}"
    finally:
        server.should_exit = True
        await serving


def _config() -> Config:
    return Config(
        Starlette(routes=[Route("/metrics", metrics_handler)]),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=1,
    )
