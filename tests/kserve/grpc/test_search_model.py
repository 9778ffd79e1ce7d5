"""`ranklift-search` over the Open Inference Protocol, asked by KServe's clients and by Triton's over REST and gRPC."""

import asyncio
import json
import subprocess
import sys

import grpc as grpcio
import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from tritonclient.utils import InferenceServerException

from components.model.encoder import Encoder
from tests.factories.index_versions import make_index
from tests.kserve.conftest import CORPUS, TEXTS
from tests.kserve.running import running

QUERY = "sum the array"
SEARCH = "ranklift-search"
OUTPUTS = ["ids", "scores", "texts", "counts"]


@pytest.fixture(scope="module")
def http(predictor):
    with triton.InferenceServerClient(predictor.url.removeprefix("http://")) as opened:
        yield opened


@pytest.fixture(scope="module")
def over_grpc(predictor) -> dict:
    """What Triton's gRPC client was told."""
    command = [sys.executable, "-m", "tests.kserve.grpc.triton_over_grpc", predictor.grpc, QUERY, *TEXTS]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout)


@pytest.fixture(scope="module")
def alone(exported_tiny_model, tmp_path_factory):
    """A predictor of the model without an index."""
    with running(exported_tiny_model, tmp_path_factory.mktemp("alone")) as started:
        yield started


def by_search(client, *queries, **fields):
    """What POST /search finds: ids, scores and texts of all queries in a row, and how many each has."""
    answer = client.post("/search", json={"queries": list(queries), **fields}).json()
    hits = [hit for result in answer["results"] for hit in result["hits"]]
    return {
        "ids": [hit["id"] for hit in hits],
        "scores": pytest.approx([hit["score"] for hit in hits], abs=1e-5),
        "texts": [hit["text"] for hit in hits],
        "counts": [len(result["hits"]) for result in answer["results"]],
    }


def tensors(made=triton.InferInput, binary=True, **inputs):
    found = []
    for name, texts in inputs.items():
        tensor = made(name, [len(texts)], "BYTES")
        tensor.set_data_from_numpy(np.array([text.encode() for text in texts], dtype=np.object_), binary_data=binary)
        found.append(tensor)
    return found


def decoded(answer, names=OUTPUTS):
    found = {name: answer.as_numpy(name).tolist() for name in names}
    return {name: [one.decode() if isinstance(one, bytes) else one for one in row] for name, row in found.items()}


def request(binary=False, parameters=None, **inputs):
    return InferRequest(model_name=SEARCH, infer_inputs=tensors(InferInput, binary, **inputs), parameters=parameters)


def kserve_rest(url, asked):
    async def ask():
        rest = InferenceRESTClient(RESTConfig(protocol="v2"))
        try:
            assert await rest.is_model_ready(url, SEARCH)
            return await rest.infer(url, data=asked, model_name=SEARCH)
        finally:
            await rest.close()

    return asyncio.run(ask())


def kserve_grpc(address, asked):
    async def ask():
        async with InferenceGRPCClient(address) as opened:
            return await opened.infer(asked)

    return asyncio.run(ask())


def test_metadata_and_readiness_are_told_by_every_client(http, over_grpc, client):
    assert http.is_model_ready(SEARCH)
    assert over_grpc["search ready"]
    for told in (
        http.get_model_metadata(SEARCH),
        over_grpc["search metadata"],
        client.get(f"/v2/models/{SEARCH}").json(),
    ):
        assert [tensor["name"] for tensor in told["inputs"]] == ["query", "ids"]
        assert [(tensor["name"], tensor["datatype"]) for tensor in told["outputs"]] == [
            ("ids", "BYTES"), ("scores", "FP32"), ("texts", "BYTES"), ("counts", "INT32"),
        ]  # fmt: skip
    assert client.get("/v2/models").json() == {"models": ["ranklift", SEARCH]}


@pytest.mark.parametrize("binary", [True, False], ids=["binary inputs", "JSON inputs"])
@pytest.mark.parametrize("wanted", [None, True, False], ids=["outputs not named", "binary outputs", "JSON outputs"])
def test_triton_over_http_finds_what_search_finds(http, client, binary, wanted):
    outputs = None if wanted is None else [triton.InferRequestedOutput(name, binary_data=wanted) for name in OUTPUTS]
    made = tensors(binary=binary, query=[QUERY, "an edge"])
    answer = http.infer(SEARCH, made, outputs=outputs, parameters={"top_k": 2}, request_id="7")
    assert decoded(answer) == by_search(client, QUERY, "an edge", top_k=2)
    assert answer.get_response()["id"] == "7"


def test_triton_over_http_names_model_and_index(http, client):
    told = http.infer(SEARCH, tensors(query=[QUERY])).get_response()
    expected = client.post("/search", json={"query": QUERY}).json()
    names = ("model_digest", "index_version", "index_digest")
    assert told["parameters"] == {name: expected[name] for name in names}
    assert told["model_version"] == expected["model_version"]


def test_triton_over_grpc_finds_what_search_finds(over_grpc, client):
    expected, found = by_search(client, QUERY, "an edge", top_k=2), over_grpc["search"]
    assert {name: found[name] for name in OUTPUTS} == expected
    told = client.post("/search", json={"query": QUERY}).json()
    assert found["named"] == {name: told[name] for name in ("model_digest", "index_version", "index_digest")}
    assert (found["id"], found["version"]) == ("7", told["model_version"])


def test_ids_are_the_only_passages_that_are_found(http, over_grpc):
    made = tensors(query=[QUERY], ids=["trees/edge", "not here"])
    assert decoded(http.infer(SEARCH, made), ["ids", "counts"]) == {"ids": ["trees/edge"], "counts": [1]}
    found = over_grpc["search among ids"]
    assert (found["ids"], found["texts"], found["counts"]) == (["trees/edge"], [CORPUS["trees/edge"]], [1])


def test_outputs_that_are_not_asked_for_are_left_out(http, over_grpc):
    answer = http.infer(SEARCH, tensors(query=[QUERY]), outputs=[triton.InferRequestedOutput("ids")])
    assert [output["name"] for output in answer.get_response()["outputs"]] == ["ids"]
    assert set(over_grpc["search some outputs"]) == {"ids", "id", "version", "named"}
    assert len(over_grpc["search some outputs"]["ids"]) == len(CORPUS)


@pytest.mark.parametrize("binary", [False, True], ids=["JSON", "binary"])
def test_kserve_over_rest_finds_what_search_finds(predictor, client, binary):
    answer = kserve_rest(predictor.url, request(binary, {"top_k": 3}, query=[QUERY]))
    found = {output.name: output.as_numpy().tolist() for output in answer.outputs}
    texts = {name: [one.decode() if isinstance(one, bytes) else one for one in row] for name, row in found.items()}
    assert texts == by_search(client, QUERY, top_k=3)


@pytest.mark.parametrize("binary", [False, True], ids=["contents", "raw"])
def test_kserve_over_grpc_finds_what_search_finds(predictor, client, binary):
    answer = kserve_grpc(predictor.grpc, request(binary, {"top_k": 3}, query=[QUERY]))
    found = {output.name: output.as_numpy().tolist() for output in answer.outputs}
    texts = {name: [one.decode() if isinstance(one, bytes) else one for one in row] for name, row in found.items()}
    assert texts == by_search(client, QUERY, top_k=3)


REFUSED = {
    "no query": ({"ids": ["a"]}, {}, "needs an input of datatype BYTES, named 'query'"),
    "an empty query": ({"query": [""]}, {}, "A query must not be empty"),
    "no queries": ({"query": []}, {}, "queries must not be empty"),
    "top_k of 0": ({"query": ["a"]}, {"top_k": 0}, "top_k"),
    "top_k that is a text": ({"query": ["a"]}, {"top_k": "many"}, "top_k"),
    "too many passages": ({"query": ["a", "b"]}, {"top_k": 9_000}, "18000 passages, queries times top_k, where 10000"),
    "too many ids": ({"query": ["a"], "ids": ["p"] * 1001}, {}, "'ids' has 1001 elements where 1000 is the limit"),
    "too many queries": ({"query": ["q"] * 2049}, {}, "2049 elements where 2048 is the limit (--max_inputs sets it)"),
    "too long a query": ({"query": ["q" * 100_001]}, {}, "has 100001 characters where 100000 is the limit"),
}


@pytest.mark.parametrize(("inputs", "parameters", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refusals_are_those_of_search_over_rest_and_grpc(predictor, http, inputs, parameters, sentence):
    with pytest.raises(InferenceServerException) as caught:
        http.infer(SEARCH, tensors(**inputs), parameters=parameters)
    assert sentence in str(caught.value)
    with pytest.raises(grpcio.RpcError) as refused:
        kserve_grpc(predictor.grpc, request(True, parameters, **inputs))
    assert sentence in refused.value.details()
    assert refused.value.code().name == "INVALID_ARGUMENT"


def test_another_index_or_model_is_refused_as_by_search(http, over_grpc):
    with pytest.raises(InferenceServerException, match="demands V9 of the index"):
        http.infer(SEARCH, tensors(query=[QUERY]), parameters={"index": "V9"})
    assert over_grpc["search another index"]["status"] == "StatusCode.FAILED_PRECONDITION"
    assert "demands V9 of the index" in over_grpc["search another index"]["message"]
    with pytest.raises(InferenceServerException, match="demands V9 of ranklift-search"):
        http.infer(SEARCH, tensors(query=[QUERY]), model_version="V9")
    assert "passages, queries times top_k" in over_grpc["search too much"]["message"]


def test_without_an_index_there_is_no_such_model_to_ask(alone):
    rest = httpx.Client(base_url=alone.url, timeout=30)
    assert rest.get("/v2/models").json() == {"models": ["ranklift"]}
    assert [entry["name"] for entry in rest.post("/v2/repository/index").json()] == ["ranklift"]
    body = {"inputs": [{"name": "query", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}
    for answer in (
        rest.get(f"/v2/models/{SEARCH}"),
        rest.get(f"/v2/models/{SEARCH}/ready"),
        rest.post(f"/v2/models/{SEARCH}/infer", json=body),
    ):
        assert (answer.status_code, "without an index" in answer.json()["error"]) == (404, True)
    with pytest.raises(grpcio.RpcError) as refused:
        kserve_grpc(alone.grpc, request(query=["a"]))
    assert refused.value.code().name == "NOT_FOUND"


def test_v1_of_the_model_that_searches_says_where_to_ask(client):
    answer = client.post(f"/v1/models/{SEARCH}:predict", json={"instances": [{"query": "a"}]})
    assert answer.status_code == 400
    assert "send POST /search, or /v2/models/ranklift-search/infer" in answer.json()["error"]


def test_an_index_without_texts_gives_none_and_refuses_to_be_asked_for_them(exported_tiny_model, tmp_path):
    encoder = Encoder.open(exported_tiny_model)
    vectors = encoder.encode_documents(list(CORPUS.values()))
    make_index(tmp_path / "index", vectors, sorted(CORPUS), model=encoder.digest)
    body = {"inputs": [{"name": "query", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}
    with running(exported_tiny_model, tmp_path, "--index_dir", str(tmp_path / "index")) as started:
        answer = httpx.post(f"{started.url}/v2/models/{SEARCH}/infer", json=body)
        assert [output["name"] for output in answer.json()["outputs"]] == ["ids", "scores", "counts"]
        asked = httpx.post(f"{started.url}/v2/models/{SEARCH}/infer", json={**body, "outputs": [{"name": "texts"}]})
        assert (asked.status_code, "keeps no texts" in asked.json()["error"]) == (400, True)
