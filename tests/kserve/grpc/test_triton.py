"""Triton's own clients, over HTTP and gRPC: metadata, load, index, and inference in every form of its tensors."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from components.model.served import EncoderConfig
from tests.kserve.conftest import TEXTS

QUERY = "sum the array"
MARKER = "tangerine-zeppelin"


@pytest.fixture(scope="module")
def http(predictor):
    with triton.InferenceServerClient(predictor.url.removeprefix("http://")) as opened:
        yield opened


@pytest.fixture(scope="module")
def grpc(predictor) -> dict:
    """What Triton's gRPC client was told."""
    command = [sys.executable, "-m", "tests.kserve.grpc.triton_over_grpc", predictor.grpc, QUERY, *TEXTS]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout)


@pytest.fixture(scope="module")
def expected(client):
    ranking = client.post("/find_similar", json={"query": QUERY, "documents": TEXTS}).json()["ranking"]
    return [item["score"] for item in sorted(ranking, key=lambda item: item["index"])]


@pytest.fixture(scope="module")
def config(exported_tiny_model):
    return EncoderConfig.of(exported_tiny_model)


def tensors(**options):
    made = []
    for name, texts in (("query", [QUERY]), ("documents", TEXTS)):
        tensor = triton.InferInput(name, [len(texts)], "BYTES")
        tensor.set_data_from_numpy(np.array([text.encode() for text in texts], dtype=np.object_), **options)
        made.append(tensor)
    return made


def test_the_server_and_the_model_are_live_and_ready(http, grpc):
    assert http.is_server_live()
    assert http.is_server_ready()
    assert http.is_model_ready("ranklift")
    assert (grpc["live"], grpc["ready"]) == (True, True)


def test_metadata_name_the_tensors_and_the_version(http, grpc, config):
    for metadata in (http.get_model_metadata("ranklift"), grpc["metadata"]):
        assert metadata["versions"] == [config.digest[:12]]
        assert [tensor["name"] for tensor in metadata["inputs"]] == ["query", "documents"]
        assert [tensor["name"] for tensor in metadata["outputs"]] == ["scores"]
    assert http.get_server_metadata()["name"] == grpc["server"]["name"]


def test_the_repository_index_lists_the_model_and_the_search_in_its_index(http, grpc, config):
    for name, over_rest, over_rpc in zip(
        ["ranklift", "ranklift-search"], http.get_model_repository_index(), grpc["index"]["models"], strict=True
    ):
        entry = {"name": name, "version": config.digest[:12], "state": "READY"}
        assert {key: over_rest[key] for key in entry} == entry
        assert {key: over_rpc[key] for key in entry} == entry


def test_a_load_is_answered(http, grpc):
    http.load_model("ranklift")
    with pytest.raises(InferenceServerException, match="no such model; this server has ranklift"):
        http.load_model("other")
    assert grpc["load"] is None
    assert grpc["load another"]["status"] == "StatusCode.NOT_FOUND"


@pytest.mark.parametrize("binary", [True, False], ids=["binary inputs", "JSON inputs"])
@pytest.mark.parametrize("wanted", [None, True, False], ids=["outputs not named", "binary output", "JSON output"])
def test_http_inference_gives_the_scores_of_find_similar(http, expected, config, binary, wanted):
    outputs = None if wanted is None else [triton.InferRequestedOutput("scores", binary_data=wanted)]
    answer = http.infer("ranklift", tensors(binary_data=binary), outputs=outputs, request_id="7")
    np.testing.assert_allclose(answer.as_numpy("scores"), expected, atol=1e-5)
    told = answer.get_response()
    assert (told["id"], told["model_version"]) == ("7", config.digest[:12])
    assert told["parameters"]["model_digest"] == config.digest


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_http_inference_takes_compressed_requests(http, expected, algorithm):
    answer = http.infer("ranklift", tensors(), request_compression_algorithm=algorithm)
    np.testing.assert_allclose(answer.as_numpy("scores"), expected, atol=1e-5)


@pytest.mark.parametrize("how", ["infer", "a requested output", "this version"])
def test_grpc_inference_gives_the_scores_of_find_similar_in_raw_contents(grpc, expected, config, how):
    answer = grpc[how]
    np.testing.assert_allclose(answer["scores"], expected, atol=1e-5)
    assert (answer["raw"], answer["version"], answer["digest"]) == (1, config.digest[:12], config.digest)
    assert answer["id"] == ("" if how == "this version" else "7")


def test_an_output_that_is_not_there_is_named_by_what_is(http, grpc):
    with pytest.raises(InferenceServerException) as caught:
        http.infer("ranklift", tensors(), outputs=[triton.InferRequestedOutput(MARKER)])
    for message in (str(caught.value), grpc["an unknown output"]["message"]):
        assert "this model has 'scores'" in message
        assert MARKER not in message


def test_the_version_in_service_may_be_demanded_and_another_is_refused(http, grpc, config):
    version = config.digest[:12]
    answer = http.infer("ranklift", tensors(), model_version=version)
    assert len(answer.as_numpy("scores")) == len(TEXTS)
    with pytest.raises(InferenceServerException) as caught:
        http.infer("ranklift", tensors(), model_version="V9")
    for message in (str(caught.value), grpc["another version"]["message"]):
        assert f"demands V9 of ranklift, and {version}" in message
    assert grpc["another version"]["status"] == "StatusCode.FAILED_PRECONDITION"


MALFORMED = {
    "a length beyond the end": b"\xff\x00\x00\x00" + MARKER.encode(),
    "no UTF-8": b"\x04\x00\x00\x00\xff\xfe\xfd\xfc" + b"\x12\x00\x00\x00" + MARKER.encode(),
    "half a length": b"\x01\x00",
    "too many elements": b"\x01\x00\x00\x00a" * 3,
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_malformed_bytes_are_a_bad_request_that_quotes_nothing(predictor, client, data):
    header = (
        b'{"inputs": [{"name": "query", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 5}}, '
        b'{"name": "documents", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": %d}}]}'
        % len(data)
    )
    answer = client.post(
        "/v2/models/ranklift/infer",
        content=header + b"\x01\x00\x00\x00a" + data,
        headers={"Inference-Header-Content-Length": str(len(header))},
    )
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        "The input 'documents' does not hold UTF-8 texts in the shape that it states.",
    )
    assert MARKER not in predictor.log.read_text()


@pytest.mark.parametrize("size", [-1, 10**9, "5", True, 4.5], ids=str)
def test_a_binary_size_that_cannot_be_is_a_bad_request(client, size):
    tensor = {"name": "query", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": size}}
    header = json.dumps({"inputs": [tensor]}).encode()
    answer = client.post(
        "/v2/models/ranklift/infer", content=header, headers={"Inference-Header-Content-Length": str(len(header))}
    )
    assert answer.status_code == 400


def test_an_inference_without_a_content_type_is_json(client):
    body = b'{"inputs": [{"name": "query", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}'
    answer = client.post("/v2/models/ranklift/infer", content=body)
    assert (answer.status_code, "two inputs" in answer.json()["error"]) == (422, True)
