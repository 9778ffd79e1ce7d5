"""kserve's gRPC server, on the address that was asked for, with refusals as gRPC statuses."""

from grpc import aio
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from components.errors import RankliftError
from predictor.engine.switchboard import Switchboard
from predictor.grpc.extras import add_extras
from predictor.grpc.interceptor import Interceptor
from predictor.grpc.service import RankServicer

_IDLE_MILLISECONDS = 300_000  # for a connection with no call on it
_PINGS_APART_MILLISECONDS = 10_000  # a client that pings more often is sent away


class GrpcServer:
    """The Open Inference Protocol over gRPC.

    Raises:
        RankliftError: when the address cannot be listened on.
    """

    def __init__(
        self, switchboard: Switchboard, port: int, data_plane: DataPlane, repository: ModelRepositoryExtension
    ) -> None:
        settings = switchboard.settings
        self._server = aio.server(
            interceptors=(Interceptor(switchboard),),
            options=_options(settings.max_body_bytes, settings.max_grpc_calls),
            maximum_concurrent_rpcs=settings.max_grpc_calls,
        )
        servicer = RankServicer(switchboard, data_plane, repository)
        grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, self._server)
        add_extras(self._server, switchboard)
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

    async def stop(self, grace: float) -> None:
        """Take no new calls, end those in flight within some seconds."""
        await self._server.stop(grace)


def _options(max_message_bytes: int, max_calls: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_send_message_length", -1),  # an answer is bounded by what its request may ask
        ("grpc.max_receive_message_length", max_message_bytes),
        # Otherwise a second predictor on the same port is no error, and gets half of the requests.
        ("grpc.so_reuseport", 0),
        ("grpc.max_concurrent_streams", max_calls),
        ("grpc.max_connection_idle_ms", _IDLE_MILLISECONDS),
        ("grpc.http2.min_ping_interval_without_data_ms", _PINGS_APART_MILLISECONDS),
    ]
