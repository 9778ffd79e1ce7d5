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
_NAMES = {code.value[0]: code.name for code in StatusCode}  # a context keeps the number alone
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
        return grpc.unary_unary_rpc_method_handler(XX)

    def _guarded(self, method: Method, is_open: bool) -> Method:
        async def answer(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
            try:
                if not is_open:
                    self._check_token(context)
                return await method(request, context)
            except RefusalError as refusal:
                code = _CODES.get(refusal.status, StatusCode.INVALID_ARGUMENT)
                await context.abort(code, refusal.sentence, tuple(refusal.headers.items()) and _retry(refusal))
            except ModelNotFound as error:
                await context.abort(StatusCode.NOT_FOUND, str(error))
            except (InvalidInput, ValueError) as error:
                sentence = (
                    str(error) if isinstance(error, InvalidInput) else "The request's tensors are not well-formed."
                )
                await context.abort(StatusCode.INVALID_ARGUMENT, sentence)

        return answer

    def _check_token(self, context: aio.ServicerContext[Any, Any]) -> None:
        given = dict(context.invocation_metadata() or ()).get("authorization", "")
        if not hmac.compare_digest(str(given).encode(), f"Bearer {self._token}".encode()):
            raise RefusalError(401, "A bearer token is needed, and was not given or is wrong.")


def _counted(method: Method, route: str) -> Method:
    """The method, in the same metrics as the HTTP routes, by its full name and by the name of its status."""

    async def answer(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
        started = time.perf_counter()
        status = "UNKNOWN"
        try:
            response = await method(request, context)
            status = "OK"
            return response
        except aio.AbortError:
            status = _NAMES[context.code()]
            raise
        finally:
            metrics.REQUESTS.labels(route, status).inc()
            metrics.LATENCY.labels(route).observe(time.perf_counter() - started)

    return answer


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

    async def run(self) -> None:
        """Serve until stopped."""
        await self._server.start()
        await self._server.wait_for_termination()

    async def stop(self) -> None:
        """Take no new calls, end those in flight."""
        await self._server.stop(self._grace)
