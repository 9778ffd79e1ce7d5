"""kserve's REST server, on the address that was asked for, with only the routes that this predictor answers."""

import contextlib
import socket
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import PlainTextResponse
from kserve.model_server import app
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest import v2_datamodels as v2
from kserve.protocol.rest.server import RESTServer, _RefreshingServer, metrics_handler
from kserve.protocol.rest.v2_endpoints import V2Endpoints
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp
from uvicorn.config import Config

from predictor.api.search import INDEX_DIGEST_HEADER, INDEX_VERSION_HEADER
from predictor.api.versions import DIGEST_HEADER, VERSION_HEADER
from predictor.engine.switchboard import Switchboard
from predictor.http import pages
from predictor.http.connection import Connection
from predictor.http.connections import Connections
from predictor.http.middleware import RequestMiddleware
from predictor.http.origin import names_of
from predictor.http.responses import add_handlers
from predictor.http.routes.every import router
from predictor.http.routes.shared import faults

_KERNEL_BUFFER = 1 << 17  # bytes of a connection, in each direction


class _Server(_RefreshingServer):
    """Leaves signals to `RankServer`, which drains before it stops."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class RestServer(RESTServer):
    """kserve's REST server with our routes, middleware and error answers."""

    def __init__(
        self,
        switchboard: Switchboard,
        port: int,
        data_plane: DataPlane,
        repository: ModelRepositoryExtension,
        **options: Any,
    ) -> None:
        settings = switchboard.settings
        super().__init__(
            "kserve.model_server:app", data_plane, repository, port, grace_period=settings.drain_timeout, **options
        )
        self._switchboard = switchboard
        self._socket = bind(settings.host, port)
        connections = Connections(settings.max_connections, settings.max_unread_bytes)
        self.create_application()
        self.config = Config(
            with_middleware(app, switchboard),
            http=Connection.among(
                connections, head_timeout=settings.body_timeout, write_timeout=settings.write_timeout
            ),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=self.config.timeout_keep_alive,
            timeout_graceful_shutdown=settings.drain_timeout,
            ssl_certfile=self.config.ssl_certfile,
            ssl_keyfile=self.config.ssl_keyfile,
        )
        self._server = _Server(self.config)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._socket.getsockname()[1])

    def listen(self) -> None:
        """Accept connections from now on; they are served as soon as `start` runs."""
        self._socket.listen(self.config.backlog)

    async def start(self) -> None:
        """Serve until stopped."""
        await self._server.serve(sockets=[self._socket])

    async def stop(self, grace: float) -> None:
        """Accept no more connections, end the requests in flight within some seconds."""
        self.config.timeout_graceful_shutdown = max(1, int(grace))
        self._server.should_exit = True

    def create_application(self) -> None:
        """Complete kserve's application: the routes, what answers errors, and the middleware in front."""
        app.title = "ranklift predictor"
        app.version = version("ranklift")
        app.description = "Ranks documents by their similarity to a query, searches an index, and embeds texts."
        app.state.switchboard = self._switchboard
        app.state.data_plane = self.dataplane
        (pages.add if self._switchboard.settings.pages else pages.leave_out)(app)
        self._register_endpoints(app)
        add_handlers(app)

    def _register_endpoints(self, application: FastAPI) -> None:
        """kserve's probes and metrics, and the routes of every protocol."""
        two = V2Endpoints(self.dataplane, self.model_repository_extension)
        probes = APIRouter(tags=["V2"])
        probes.add_api_route("/v2", two.metadata, response_model=v2.ServerMetadataResponse)
        probes.add_api_route("/v2/health/live", two.live, response_model=v2.ServerLiveResponse)
        probes.add_api_route(
            "/v2/health/ready", two.ready, response_model=v2.ServerReadyResponse, responses=faults(503)
        )
        application.include_router(probes)
        if not self._switchboard.settings.metrics_port:
            application.add_api_route(
                "/metrics", metrics_handler, tags=["operations"], response_class=PlainTextResponse
            )
        application.include_router(router)


def with_middleware(application: ASGIApp, switchboard: Switchboard) -> ASGIApp:
    """Return the application behind the middleware, and behind CORS where the settings name sites."""
    middleware = RequestMiddleware(application, switchboard)
    origins = names_of(switchboard.settings.cors_origins)
    if not origins:
        return middleware
    return CORSMiddleware(
        middleware,
        allow_origins=origins,
        allow_methods=["GET", "HEAD", "POST"],
        allow_headers=["*"],
        expose_headers=[
            "X-Request-ID",
            "Retry-After",
            VERSION_HEADER,
            DIGEST_HEADER,
            INDEX_VERSION_HEADER,
            INDEX_DIGEST_HEADER,
        ],
    )


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address and not listening yet: clients are refused until the model is warm.

    Raises:
        OSError: when the address is taken or is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit them. Left to itself, the kernel keeps megabytes of each for a client that does not read.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BUFFER)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
