"""kserve's gRPC server, on the address that was asked for, with refusals as gRPC statuses."""

import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc import StatusCode, aio
from kserve.errors import InvalidInput, ModelNotFound
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from components.errors import RankliftError
from predictor import metrics
from predictor.refusal import RefusalError
from predictor.settings import PredictorSettings

Method = Callable[[Any, aio.ServicerContext[Any, Any]], Awaitable[Any]]

_CODES = {
    401: StatusCode.UNAUTHENTICATED,
    404: StatusCode.NOT_FOUND,
    409: StatusCode.FAILED_PRECONDITION,
    429: StatusCode.RESOURCE_EXHAUSTED,
    503: StatusCode.UNAVAILABLE,
}
_OPEN_METHODS = ("/ServerLive", "/ServerReady")


class Interceptor(aio.ServerInterceptor):
    """Turns exceptions into statuses with one sentence, asks for the bearer token when there is one, and counts."""

    def __init__(self, settings: PredictorSettings) -> None:
        self._token = settings.api_token.get_secret_value() if settings.api_token else ""

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """Wrap the method that answers."""
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler
        is_open = not self._token or details.method.endswith(_OPEN_METHODS)
        method = self._guarded(handler.unary_unary, details.method, is_open)
        return grpc.unary_unary_rpc_method_handler(method, handler.request_deserializer, handler.response_serializer)

    def _guarded(self, method: Method, name: str, is_open: bool) -> Method:
        async def answer(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
            started = time.perf_counter()
            code = StatusCode.UNKNOWN
            try:
                if not is_open:
                    self._check_token(context)
                response = await method(request, context)
                code = StatusCode.OK
                return response
            except (RefusalError, ModelNotFound, InvalidInput, ValueError) as error:
                code, sentence = _status_of(error)
                await context.abort(code, sentence, _retry(error) if isinstance(error, RefusalError) else ())
            finally:
                metrics.REQUESTS.labels(name, code.name).inc()
                metrics.LATENCY.labels(name).observe(time.perf_counter() - started)

        return answer

    def _check_token(self, context: aio.ServicerContext[Any, Any]) -> None:
        given = dict(context.invocation_metadata() or ()).get("authorization", "")
        if not hmac.compare_digest(str(given).encode(), f"Bearer {self._token}".encode()):
            raise RefusalError(401, "A bearer token is needed, and was not given or is wrong.")


def _status_of(error: Exception) -> tuple[StatusCode, str]:
    """What a call that was not answered ends with."""
    if isinstance(error, RefusalError):
        return _CODES.get(error.status, StatusCode.INVALID_ARGUMENT), error.sentence
    if isinstance(error, ModelNotFound):
        return StatusCode.NOT_FOUND, str(error)
    sentence = str(error) if isinstance(error, InvalidInput) else "The request's tensors are not well-formed."
    return StatusCode.INVALID_ARGUMENT, sentence


def _retry(refusal: RefusalError) -> tuple[tuple[str, str], ...]:
    return tuple((name.lower(), value) for name, value in refusal.headers.items())


class GrpcServer:
    """The Open Inference Protocol over gRPC.

    Raises:
        RankliftError: when the address cannot be listened on.
    """

    def __init__(
        self, settings: PredictorSettings, port: int, data_plane: DataPlane, repository: ModelRepositoryExtension
    ) -> None:
        limit = settings.max_body_bytes
        limits = [(f"grpc.max_{direction}_message_length", limit) for direction in ("send", "receive")]
        # Otherwise a second predictor on the same port is no error, and gets half of the requests.
        options = [*limits, ("grpc.so_reuseport", 0)]
        self._grace = settings.drain_timeout
        self._server = aio.server(interceptors=(Interceptor(settings),), options=options)
        servicer = InferenceServicer(data_plane, repository)
        grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, self._server)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        try:
            self.port = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise RankliftError(
                f"Cannot listen on {host}:{port} for gRPC; give another --grpc_port, such as 0 for any that is free, "
                "or --enable_grpc false."
            ) from error

    async def listen(self) -> None:
        """Answer calls from now on."""
        await self._server.start()

    async def run(self) -> None:
        """Wait until stopped."""
        await self._server.wait_for_termination()

    async def stop(self) -> None:
        """Take no new calls, end those in flight."""
        await self._server.stop(self._grace)
