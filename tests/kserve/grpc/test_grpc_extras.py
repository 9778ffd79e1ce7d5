"""What gRPC's own tools ask a server: its health, and which services it has."""

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.kserve.running import running, wait_for

SERVICE = "inference.GRPCInferenceService"


def check(channel, service: str = "") -> str:
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=30)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


@pytest.mark.parametrize("service", ["", SERVICE], ids=["the server", "the service"])
def test_health_is_serving_while_it_is_ready(predictor, service):
    with grpc.insecure_channel(predictor.grpc) as channel:
        assert check(channel, service) == "SERVING"


def test_health_of_a_service_that_is_not_there(predictor):
    with grpc.insecure_channel(predictor.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        check(channel, "other")
    assert caught.value.code().name == "NOT_FOUND"


def test_health_is_not_watched(predictor):
    with grpc.insecure_channel(predictor.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        next(health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=30))
    assert caught.value.code().name == "UNIMPLEMENTED"
    assert "Traceback" not in predictor.log.read_text()


def test_health_is_not_serving_while_it_drains(exported_tiny_model, tmp_path):
    with running(exported_tiny_model, tmp_path, "--drain_delay", "5") as predictor:
        with grpc.insecure_channel(predictor.grpc) as channel:
            predictor.process.terminate()
            wait_for(lambda: check(channel) == "NOT_SERVING")
        assert predictor.process.wait(30) == 0


def test_reflection_lists_the_services_and_their_methods(predictor):
    with grpc.insecure_channel(predictor.grpc) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert SERVICE in database.get_services()
        service = DescriptorPool(database).FindServiceByName(SERVICE)
        assert "ModelInfer" in [method.name for method in service.methods]


def test_a_token_is_asked_of_all_but_the_health(exported_tiny_model, tmp_path):
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    with (
        running(exported_tiny_model, tmp_path, RANKLIFT_PREDICTOR_API_TOKEN="of-a-test") as predictor,
        grpc.insecure_channel(predictor.grpc) as channel,
    ):
        stub, request = GRPCInferenceServiceStub(channel), pb.ServerMetadataRequest()
        assert check(channel) == "SERVING"
        assert stub.ServerMetadata(request, metadata=[("authorization", "Bearer of-a-test")]).name
        for ask in (lambda: stub.ServerMetadata(request), ProtoReflectionDescriptorDatabase(channel).get_services):
            with pytest.raises(grpc.RpcError) as caught:
                ask()
            assert caught.value.code().name == "UNAUTHENTICATED"
