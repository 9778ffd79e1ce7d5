"""A gRPC request's fields are counted from its bytes: what is right passes, what is too much or broken is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from predictor.grpc.wire_scan import WireScan
from predictor.refusal import RefusalError
from tests.hostile.test_bodies import grpc_request


def scan(message: bytes, most: int = 5000) -> None:
    WireScan(message, most).check_infer_request()


@given(st.lists(st.binary(max_size=300), max_size=50), st.lists(st.integers(0, 2**40), max_size=8))
def test_check_infer_request_lets_what_is_read_pass(contents, shape):
    request = grpc_request(shape, contents)
    request.id = "7"
    request.parameters["timeout"].int64_param = 2**40
    scan(request.SerializeToString())
    scan(grpc_request(shape, raw=b"".join(contents)).SerializeToString())


def many_inputs() -> bytes:
    tensor = pb.ModelInferRequest.InferInputTensor()
    return pb.ModelInferRequest(inputs=[tensor] * 100_000).SerializeToString()


def many_numbers() -> bytes:
    request = grpc_request([1], [b"a"])
    request.inputs[0].contents.int_contents.extend([1] * 100_000)
    return request.SerializeToString()


TOO_MUCH = {
    "texts": lambda: grpc_request([1], [b""] * 100_000).SerializeToString(),
    "dimensions": lambda: grpc_request([1] * 100_000, [b"a"]).SerializeToString(),
    "inputs": many_inputs,
    "numbers": many_numbers,
}


@pytest.mark.parametrize("message", TOO_MUCH.values(), ids=TOO_MUCH)
def test_check_infer_request_refuses_what_is_too_much(message):
    with pytest.raises(RefusalError) as caught:
        scan(message())
    assert caught.value.status == 422


BROKEN = {
    "a length beyond the end": b"\x0a\x7f",
    "a number without end": b"\xff" * 20,
    "half a number": b"\x0a",
    "a group": b"\x0b",
    "half of eight bytes": b"\x09\x01",
    "an input that is none": b"\x2a\x02\x0a\x7f",
}


@pytest.mark.parametrize("message", BROKEN.values(), ids=BROKEN)
def test_check_infer_request_refuses_what_is_no_message(message):
    with pytest.raises(RefusalError) as caught:
        scan(message)
    assert caught.value.status == 400


@given(st.binary(max_size=200))
def test_check_infer_request_ends_with_any_bytes(message):
    try:
        scan(message, most=50)
    except RefusalError as refusal:
        assert refusal.status in {400, 422}
