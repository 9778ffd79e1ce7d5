"""What gRPC clients ask beside the protocol: health, reflection, and Triton's index of the repository."""

from typing import Any

import grpc
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from predictor.api.repository import entries_of
from predictor.engine.switchboard import Switchboard

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name

_INDEX_FIELDS = ("name", "version", "state", "reason")


class Health(health_pb2_grpc.HealthServicer):
    """The standard health service: serving while requests should be sent here."""

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard

    async def Check(self, request: Any, context: aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802 - its name there
        """Return the state of the server, or of the one service by its name."""
        if request.service not in {"", SERVICE}:
            await context.abort(StatusCode.NOT_FOUND, f"There is no such service; this server has {SERVICE}.")
        states = health_pb2.HealthCheckResponse
        return states(status=states.SERVING if self._switchboard.ready else states.NOT_SERVING)

    async def Watch(self, request: Any, context: aio.ServicerContext[Any, Any]) -> None:  # noqa: N802
        """Refused, as clients of the service must expect: each watcher would hold a call for as long as it likes."""
        await context.abort(StatusCode.UNIMPLEMENTED, "Watch is not supported; call Check.")


def add_extras(server: aio.Server, switchboard: Switchboard) -> None:
    """Let a server answer them."""
    health_pb2_grpc.add_HealthServicer_to_server(Health(switchboard), server)
    names = (SERVICE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    server.add_generic_rpc_handlers((_repository_index(switchboard),))


def _repository_index(switchboard: Switchboard) -> Any:
    async def index(request: bytes, context: aio.ServicerContext[Any, Any]) -> bytes:
        return _index_message(entries_of(switchboard))

    # kserve's protocol file does not have the method: its two messages are written and read here.
    method = grpc.unary_unary_rpc_method_handler(index)
    return grpc.method_handlers_generic_handler(SERVICE, {"RepositoryIndex": method})


def _index_message(entries: list[dict[str, str]]) -> bytes:
    """Triton's RepositoryIndexResponse."""
    models = (
        b"".join(_field(number, entry[name].encode()) for number, name in enumerate(_INDEX_FIELDS, 1))
        for entry in entries
    )
    return b"".join(_field(1, fields) for fields in models)


def _field(number: int, value: bytes) -> bytes:
    """Return a protobuf field of strings or messages, shorter than 128 bytes or longer."""
    length, size = len(value), b""
    while length > 127:
        size += bytes([length & 127 | 128])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + value
