"""kserve's REST server, on the address that was asked for, with only the routes that this predictor answers."""

import contextlib
import socket
from asyncio import TimerHandle
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from kserve.model_server import app
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest import v2_datamodels as v2
from kserve.protocol.rest.server import RESTServer, _RefreshingServer, metrics_handler
from kserve.protocol.rest.v1_endpoints import V1Endpoints
from kserve.protocol.rest.v2_endpoints import V2Endpoints
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from predictor import pages
from predictor.answers import add_handlers
from predictor.gate import Gate
from predictor.routes import MODEL_FAULTS, router
from predictor.schemas import PredictRequest, PredictResponse
from predictor.switchboard import Switchboard

app.include_router(router)

_MAX_HEADER_BYTES = 1 << 16


class PatientProtocol(HttpToolsProtocol):
    """HTTP that gives a client a bounded time, and a bounded size, to send a request's head."""

    head_timeout = 10.0
    _head_timer: TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """A client connected: its first request's head is due."""
        super().connection_made(transport)
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.head_timeout, transport.close)

    def data_received(self, data: bytes) -> None:
        """Some bytes arrived: while they are a head's, they count."""
        if self._head_timer is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_timer is not None and self._head_bytes > _MAX_HEADER_BYTES:
            self.transport.close()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        if self._head_timer is None:
            self._head_bytes = 0
            self._head_timer = self.loop.call_later(self.head_timeout, self.transport.close)

    def on_headers_complete(self) -> None:
        """A head is whole; the body has a time limit of its own."""
        self._cancel_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._cancel_timer()
        super().connection_lost(exc)

    def _cancel_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _Server(_RefreshingServer):
    """Leaves signals to `RankServer`, which drains before it stops."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class RestServer(RESTServer):
    """kserve's REST server with our routes, gate and error answers."""

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
        protocol = type("Protocol", (PatientProtocol,), {"head_timeout": settings.body_timeout})
        self.config = Config(
            app,
            http=protocol,
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
        self.create_application()

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

    def stop(self) -> None:
        """Accept no more connections, end the requests in flight."""
        self._server.should_exit = True

    def create_application(self) -> None:
        """Complete kserve's application: the routes, what answers errors, and the gate in front."""
        app.title = "ranklift predictor"
        app.version = version("ranklift")
        app.description = "Ranks documents by their similarity to a query, and embeds texts."
        app.state.switchboard = self._switchboard
        (pages.add if self._switchboard.settings.pages else pages.leave_out)(app)
        self._register_endpoints(app)
        add_handlers(app)
        app.add_middleware(Gate, settings=self._switchboard.settings)

    def _register_endpoints(self, application: FastAPI) -> None:
        """kserve's v1 and v2 endpoints, without those that answer 501 for every model (explain, versions)."""
        one = V1Endpoints(self.dataplane, self.model_repository_extension)
        two = V2Endpoints(self.dataplane, self.model_repository_extension)
        v1, v2_routes = APIRouter(tags=["V1"]), APIRouter(tags=["V2"])
        v1.add_api_route("/v1/models", one.models)
        v1.add_api_route("/v1/models/{model_name}", one.model_ready, responses=MODEL_FAULTS)
        v1.add_api_route(
            "/v1/models/{model_name}:predict",
            one.predict,
            methods=["POST"],
            response_model=None,
            responses={**MODEL_FAULTS, 200: {"model": PredictResponse}},
            openapi_extra=_body(PredictRequest.model_json_schema()),
        )
        v2_routes.add_api_route("/v2", two.metadata, response_model=v2.ServerMetadataResponse)
        v2_routes.add_api_route("/v2/health/live", two.live, response_model=v2.ServerLiveResponse)
        v2_routes.add_api_route(
            "/v2/health/ready", two.ready, response_model=v2.ServerReadyResponse, responses=_only(503)
        )
        v2_routes.add_api_route("/v2/models", two.models, response_model=v2.ListModelsResponse)
        path = "/v2/models/{model_name}"
        v2_routes.add_api_route(
            path, two.model_metadata, response_model=v2.ModelMetadataResponse, responses=_only(400, 404, 422)
        )
        v2_routes.add_api_route(
            f"{path}/ready", two.model_ready, response_model=v2.ModelReadyResponse, responses=_only(400, 404, 422, 503)
        )
        v2_routes.add_api_route(
            f"{path}/infer",
            two.infer,
            methods=["POST"],
            response_model=None,
            responses={**MODEL_FAULTS, 200: {"model": v2.InferenceResponse}},
        )
        application.include_router(v1)
        application.include_router(v2_routes)
        if not self._switchboard.settings.metrics_port:
            application.add_api_route("/metrics", metrics_handler, tags=["operations"], response_class=_plain())


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address and not listening yet: clients are refused until the model is warm.

    Raises:
        OSError: when the address is taken or is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def _only(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: MODEL_FAULTS[status] for status in statuses}


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _plain() -> Any:
    from fastapi.responses import PlainTextResponse

    return PlainTextResponse
