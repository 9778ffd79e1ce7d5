"""Bodies that are small to send and were large to read: each is refused before the work that it asks for."""

import gzip
import json

import httpx
import pytest

from tests.kserve.running import RunningPredictor

MEGABYTE = 1 << 20
WRONG = {
    "/find_similar": ('{"query": "a", "documents": [', "]}"),
    "/search": ('{"queries": ["a", ', "]}"),
    "/search?ids": ('{"query": "a", "ids": ["b", ', "]}"),
    "/v1/models/ranklift:predict": ('{"instances": [', "]}"),
    "/v1/embeddings": ('{"input": ["a", ', "]}"),
    "/v1/rerank": ('{"query": "a", "documents": [', "]}"),
    "/v2/rerank": ('{"query": "a", "documents": [', "]}"),
    "/v2/embed": ('{"texts": [', "]}"),
    "/embed": ('{"inputs": ["a", ', "]}"),
    "/rerank": ('{"query": "a", "texts": [', "]}"),
    "/similarity": ('{"inputs": {"source_sentence": "a", "sentences": [', "]}}"),
    "/score": ('{"text_1": "a", "text_2": ["a", ', "]}"),
    "/v2/models/ranklift/infer": (
        '{"inputs": [{"name": "query", "shape": [1], "datatype": "BYTES", "data": ["a"]}, '
        '{"name": "documents", "shape": [2], "datatype": "BYTES", "data": [',
        "]}]}",
    ),
}
ELEMENTS = {"numbers": "1", "long numbers": "1" * 4300, "nothings": "null", "lists": "[]", "objects": '{"a":1}'}


def post(predictor: RunningPredictor, path: str, body: bytes, **headers: str) -> httpx.Response:
    return httpx.post(
        predictor.url + path, content=body, headers={"Content-Type": "application/json", **headers}, timeout=60
    )


@pytest.mark.parametrize("path", WRONG)
@pytest.mark.parametrize("element", ELEMENTS.values(), ids=ELEMENTS)
@pytest.mark.parametrize("count", [45_000, 500_000], ids=["within the limit of values", "beyond it"])
def test_elements_of_the_wrong_type_are_refused_at_the_first(survivor, path, element, count):
    before, after = WRONG[path]
    count = min(count, 3 * MEGABYTE // (len(element) + 1))
    answer = post(survivor, path, (before + ",".join([element] * count) + after).encode())
    assert answer.status_code in {400, 422}
    assert len(answer.content) < 1000


SHAPES = {
    "a dimension of a billion": [10**9],
    "many dimensions": [1000] * 8,
    "beyond 64 bits": [10**30],
    "forty-five thousand dimensions": [1] * 45_000,
    "half a million dimensions": [1] * 500_000,
    "below nothing": [-1],
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_shape_is_checked_before_anything_of_its_size_is_made(survivor, shape):
    inputs = [
        {"name": "query", "shape": [1], "datatype": "BYTES", "data": ["a"]},
        {"name": "documents", "shape": shape, "datatype": "BYTES", "data": ["a"]},
    ]
    answer = post(survivor, "/v2/models/ranklift/infer", json.dumps({"inputs": inputs}).encode())
    assert answer.status_code == 422
    assert "documents" in answer.json()["error"] or "values" in answer.json()["error"]


def grpc_request(shape: list[int], contents: list[bytes] | None = None, raw: bytes | None = None):
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

    query = pb.ModelInferRequest.InferInputTensor(name="query", datatype="BYTES", shape=[1])
    documents = pb.ModelInferRequest.InferInputTensor(name="documents", datatype="BYTES", shape=shape)
    request = pb.ModelInferRequest(model_name="ranklift")
    if raw is None:
        query.contents.bytes_contents.append(b"a")
        documents.contents.bytes_contents.extend(contents or [])
    else:
        request.raw_input_contents.extend([b"\x01\x00\x00\x00a", raw])
    request.inputs.extend([query, documents])
    return request


GRPC = {
    "a shape of two million dimensions": ([1] * 2_000_000, [b"a"], None),
    "a million elements": ([1_000_000], [b""] * 1_000_000, None),
    "raw contents of a million elements": ([1_000_000], None, b"\x00" * 4_000_000),
    "a length beyond the end": ([1], None, b"\xff\xff\xff\xffa"),
}


@pytest.mark.parametrize(("shape", "contents", "raw"), GRPC.values(), ids=GRPC)
def test_grpc_checks_sizes_before_it_expands(survivor, shape, contents, raw):
    import grpc
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    with grpc.insecure_channel(survivor.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        GRPCInferenceServiceStub(channel).ModelInfer(grpc_request(shape, contents, raw), timeout=60)
    assert caught.value.code().name == "INVALID_ARGUMENT"


def test_many_large_grpc_messages_at_once_are_answered_or_refused(survivor):
    import grpc
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    request = grpc_request([40], [b"word " * 19_000] * 40)
    with grpc.insecure_channel(survivor.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)
        calls = [stub.ModelInfer.future(request, timeout=60) for _ in range(100)]
        codes = {call.code().name for call in calls}
    assert codes <= {"OK", "UNAVAILABLE", "RESOURCE_EXHAUSTED"}
    assert "OK" in codes


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_not_inflated_beyond_the_limit(survivor, encoding):
    import zlib

    plain = b'{"query": "' + b"a" * (128 * MEGABYTE) + b'"}'
    body = gzip.compress(plain) if encoding == "gzip" else zlib.compress(plain)
    before = survivor.memory("VmHWM")
    answer = post(survivor, "/find_similar", body, **{"Content-Encoding": encoding})
    assert answer.status_code == 413
    assert survivor.memory("VmHWM") - before < 64 * MEGABYTE


@pytest.mark.parametrize(
    "damage",
    [b"", b"gzip it is not", gzip.compress(b"{}")[:-4], gzip.compress(b"{}") + b"more"],
    ids=["empty", "plain", "cut off", "longer"],  # gzip writes the time, so workers of xdist would see other names
)
def test_what_is_not_gzip_is_refused(survivor, damage):
    answer = post(survivor, "/find_similar", damage, **{"Content-Encoding": "gzip"})
    assert answer.status_code in {400, 422}


LONG = {
    "words of 99 letters": ("x" * 99 + " ") * 990,
    "one word": "x" * 99_000,
    "punctuation": "!" * 99_000,
    "ideographs": "\u4e2d" * 99_000,
    "combining marks": "e" + "\u0301" * 98_000,
    "spaces": " " * 99_000,
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_long_texts_are_cut_before_they_are_tokenised(survivor, text):
    documents = [f"{number} {text}"[:99_000] for number in range(9 if len(text.encode()) > 150_000 else 30)]
    body = json.dumps({"query": "a", "documents": documents}, ensure_ascii=False).encode()
    assert post(survivor, "/find_similar", body).status_code == 200
