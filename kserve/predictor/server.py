"""The predictor: a kserve ModelServer that drains before it stops and switches models while it serves."""

import argparse
import asyncio
import logging
import os
import sys
from typing import Any

from kserve.errors import InvalidInput, ModelNotFound
from kserve.model_server import ModelServer
from kserve.model_server import parser as kserve_parser
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from pydantic import ValidationError

from components.errors import RankliftError
from components.machine.processor import available_cpus
from predictor import log
from predictor.api.kserve_model import RankModel
from predictor.api.search_model import SearchModel, search_model_name
from predictor.drain import Drain
from predictor.engine.switchboard import Switchboard, refusal_of
from predictor.files_limit import allow_connections
from predictor.garbage import spare_the_collector
from predictor.grpc.server import GrpcServer
from predictor.http.metrics_server import metrics_served
from predictor.http.server import RestServer
from predictor.refusal import RefusalError
from predictor.settings import PredictorSettings, add_arguments, read_settings

logger = logging.getLogger("ranklift")


class RankDataPlane(DataPlane):
    """kserve's data plane, whose probes know when the server drains."""

    def __init__(self, switchboard: Switchboard, **options: Any) -> None:
        super().__init__(**options)
        self._switchboard = switchboard

    async def ready(self) -> bool:
        """Whether new requests should be sent here."""
        return self._switchboard.ready

    async def model_ready(self, model_name: str, disable_predictor_health_check: bool = False) -> bool:
        """For a probe: as `ready`. For a request that did arrive (the flag): whether it can be answered."""
        exists: bool = await super().model_ready(model_name, disable_predictor_health_check)
        return exists and (disable_predictor_health_check or self._switchboard.ready)

    def decode(self, body: Any, headers: Any, *arguments: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
        """kserve's decoding; whatever else a malformed request raises in there is the client's fault, and said so."""
        try:
            decoded: tuple[Any, dict[str, Any]] = super().decode(body, headers, *arguments, **options)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput("The request is not well-formed for this protocol.") from error
        return decoded


class Repository(ModelRepositoryExtension):
    """kserve's model repository extension, over a switchboard that holds one model."""

    def __init__(self, switchboard: Switchboard, **options: Any) -> None:
        super().__init__(**options)
        self._switchboard = switchboard

    # kserve annotates None, and its gRPC servicer reads these two fields of the result
    async def load(self, model_name: str) -> dict[str, Any]:  # type: ignore[override]
        """Serve what the model directory holds now; see `Switchboard.switch`.

        Raises:
            ModelNotFound: when another model is named.
            RefusalError: when the directory cannot be served.
        """
        if model_name != self._switchboard.settings.model_name:
            raise ModelNotFound(model_name)
        try:
            await self._switchboard.switch()
        except RankliftError as error:
            raise refusal_of(error) from error
        return {"name": model_name, "load": True}

    async def unload(self, model_name: str) -> None:
        """Refused: there is one model here, and stopping the server is how it leaves."""
        raise RefusalError(
            409, f"The model {self._switchboard.settings.model_name} cannot be unloaded; stop the server."
        )


class RankServer(ModelServer):
    """Serves one `RankModel` over REST and, when asked, gRPC."""

    def __init__(self, settings: PredictorSettings, **options: Any) -> None:
        super().__init__(grace_period=settings.drain_timeout, **options)
        self._settings = settings

    def start(self, models: list[Any] | None = None) -> None:
        """Load the model, serve until a signal, drain, and return.

        Raises:
            RankliftError: when the model cannot be served.
            OSError: when an address cannot be listened on.
        """
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        async with metrics_served(self._settings) as metrics:
            await self._serve_until_stopped(metrics)

    async def _serve_until_stopped(self, metrics: str) -> None:
        switchboard = Switchboard(self._settings)
        name = self._settings.model_name
        self.register_model(RankModel(name, switchboard))
        self.register_model(SearchModel(search_model_name(name), switchboard))
        data_plane = RankDataPlane(switchboard, model_registry=self.registered_models)
        repository = Repository(switchboard, model_registry=self.registered_models)
        rest = RestServer(
            switchboard, self.http_port, data_plane, repository, timeout_keep_alive=self.timeout_keep_alive
        )
        spare_the_collector()
        await switchboard.switch()
        grpc = GrpcServer(switchboard, self.grpc_port, data_plane, repository) if self.enable_grpc else None
        drain = Drain(switchboard, [rest.stop] + ([grpc.stop] if grpc else []))
        drain.on_signals()
        addresses = {"http": f"{self._settings.host}:{rest.port}"}
        # Whoever reads "ready" in the log connects at once: both listen by then.
        rest.listen()
        if grpc is not None:
            await grpc.listen()
            addresses["grpc"] = f"{self._settings.host}:{grpc.port}"
        if metrics:
            addresses["metrics"] = metrics
        logger.info("ready", extra={"fields": {"listening": addresses}})
        await asyncio.gather(rest.start(), *([grpc.run()] if grpc else []))
        await switchboard.close(drain.seconds_left)
        logger.info("stopped")


def main() -> int:
    """Run the predictor with the flags of the command line; 0 after a drain, 2 when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m predictor", parents=[kserve_parser], description=__doc__)
    add_arguments(parser)
    parser.set_defaults(model_name=None)
    arguments = parser.parse_args()
    log.configure()
    try:
        settings = read_settings(arguments, arguments.model_name)
    except ValidationError as error:
        return _fail(_sentence_of(error))
    except RankliftError as error:
        return _fail(str(error))
    # tokenizers counts the host's processors; a container's share may be smaller.
    allow_connections(settings.max_connections)
    os.environ.setdefault("RAYON_NUM_THREADS", str(settings.threads or available_cpus()))
    try:
        RankServer(settings, **_server_options(arguments)).start()
    except RankliftError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"Cannot listen on {settings.host}:{arguments.http_port}: {error.strerror or error}.")
    return 0


def _sentence_of(error: ValidationError) -> str:
    fault = error.errors(include_input=False)[0]
    reason = fault["msg"].removeprefix("Value error, ")
    where = ".".join(map(str, fault["loc"]))
    return f"The setting {where} is not valid: {reason}." if where else f"The settings are not valid: {reason}."


def _server_options(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("http_port", "grpc_port", "enable_grpc", "timeout_keep_alive", "ssl_certfile", "ssl_keyfile")
    return {name: getattr(arguments, name) for name in names}


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 2
