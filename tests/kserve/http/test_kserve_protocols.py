"""KServe's own protocols: v1, and the Open Inference Protocol over REST and gRPC, with kserve's clients."""

import asyncio

import httpx
import numpy as np
import pytest
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

from tests.kserve.conftest import TEXTS

QUERY = "sum the array"


@pytest.fixture
def expected(client):
    ranking = client.post("/find_similar", json={"query": QUERY, "documents": TEXTS}).json()["ranking"]
    return [item["score"] for item in sorted(ranking, key=lambda item: item["index"])]


def infer_request(*, binary: bool) -> InferRequest:
    inputs = []
    for name, texts in (("query", [QUERY]), ("documents", TEXTS)):
        tensor = InferInput(name=name, shape=[len(texts)], datatype="BYTES")
        tensor.set_data_from_numpy(np.array([text.encode() for text in texts], dtype=np.object_), binary_data=binary)
        inputs.append(tensor)
    return InferRequest(model_name="ranklift", infer_inputs=inputs)


def test_v1_gives_each_instance_the_answer_of_find_similar(client):
    instances = [{"query": QUERY, "documents": TEXTS}, {"query": "a tree", "documents": TEXTS[:2]}]
    predictions = client.post("/v1/models/ranklift:predict", json={"instances": instances}).json()["predictions"]
    for instance, prediction in zip(instances, predictions, strict=True):
        alone = client.post("/find_similar", json=instance).json()
        assert prediction["document"] == alone["document"]
        assert [item["index"] for item in prediction["ranking"]] == [item["index"] for item in alone["ranking"]]
        assert prediction["score"] == pytest.approx(alone["score"], abs=1e-5)


V1_WRONG = {
    "no instances": ({}, "instances is missing."),
    "not a list": ({"instances": 3}, "instances must be a list."),
    "empty": ({"instances": []}, "instances must not be empty."),
    "a bad instance": ({"instances": [{"query": "a"}]}, "instances[0].documents is missing."),
    "a list": ([1], "The request is not a JSON object"),
}


@pytest.mark.parametrize(("body", "sentence"), V1_WRONG.values(), ids=V1_WRONG)
def test_v1_refuses_with_one_sentence(client, body, sentence):
    answer = client.post("/v1/models/ranklift:predict", json=body)
    assert answer.status_code == 422
    assert sentence in answer.json()["error"]


def test_v1_without_a_content_type_is_json(client):
    answer = client.post("/v1/models/ranklift:predict", content=b'{"instances": []}')
    assert (answer.status_code, answer.json()["error"]) == (422, "instances must not be empty.")


def test_another_model_is_not_found(client):
    answer = client.post("/v1/models/other:predict", json={"instances": []})
    assert answer.status_code == 404


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_the_rest_client_asks_and_probes(predictor, expected, protocol):
    async def ask():
        rest = InferenceRESTClient(RESTConfig(protocol=protocol))
        try:
            assert await rest.is_server_live(predictor.url)
            assert await rest.is_model_ready(predictor.url, "ranklift")
            data = {"instances": [{"query": QUERY, "documents": TEXTS}]}
            request = data if protocol == "v1" else infer_request(binary=False)
            return await rest.infer(predictor.url, data=request, model_name="ranklift")
        finally:
            await rest.close()

    answer = asyncio.run(ask())
    if protocol == "v1":
        assert answer["predictions"][0]["score"] == pytest.approx(max(expected), abs=1e-5)
    else:
        np.testing.assert_allclose(answer.outputs[0].as_numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_v2_over_rest_takes_texts_in_json_and_in_the_binary_extension(client, expected, binary):
    body, json_length = infer_request(binary=binary).to_rest()
    if binary:
        headers = {
            "Content-Type": "application/octet-stream",
            "inference-header-content-length": str(json_length),
        }
        answer = client.post("/v2/models/ranklift/infer", content=body, headers=headers)
    else:
        answer = client.post("/v2/models/ranklift/infer", json=body)
    (output,) = answer.json()["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("scores", "FP32", [4])
    np.testing.assert_allclose(output["data"], expected, atol=1e-5)


def test_v2_says_what_goes_in_and_what_comes_out(client):
    metadata = client.get("/v2/models/ranklift").json()
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["query", "documents"]
    assert metadata["outputs"] == [{"name": "scores", "datatype": "FP32", "shape": [-1]}]


def tensor(name, data, shape=None, datatype="BYTES"):
    return {"name": name, "shape": shape or [len(data)], "datatype": datatype, "data": data}


V2_WRONG = {
    "one input": ([tensor("query", ["a"])], "two inputs"),
    "numbers": ([tensor("query", [1], datatype="INT64"), tensor("documents", ["a"])], "must have datatype BYTES"),
    "numbers said to be texts": ([tensor("query", [1]), tensor("documents", ["a"])], "does not hold UTF-8 texts"),
    "a wrong shape": ([tensor("query", ["a"]), tensor("documents", ["a"], shape=[7])], "shape that it states"),
    "two queries": ([tensor("query", ["a", "b"]), tensor("documents", ["a"])], "must have 1"),
    "no documents": ([tensor("query", ["a"]), tensor("documents", [], shape=[0])], "must not be empty"),
}


@pytest.mark.parametrize(("inputs", "sentence"), V2_WRONG.values(), ids=V2_WRONG)
def test_v2_refuses_with_one_sentence(client, inputs, sentence):
    answer = client.post("/v2/models/ranklift/infer", json={"inputs": inputs})
    assert answer.status_code == 422
    assert sentence in answer.json()["error"]


def test_v2_binary_without_its_length_is_refused(client):
    headers = {"Content-Type": "application/octet-stream"}
    for extra in ({}, {"inference-header-content-length": "x"}, {"inference-header-content-length": "-5"}):
        answer = client.post("/v2/models/ranklift/infer", content=b'{"inputs": []}', headers={**headers, **extra})
        assert 400 <= answer.status_code < 500


@pytest.mark.parametrize("binary", [False, True], ids=["contents", "raw"])
def test_grpc_gives_the_same_scores(predictor, expected, binary):
    async def ask():
        async with InferenceGRPCClient(predictor.grpc) as grpc:
            assert await grpc.is_server_ready()
            assert await grpc.is_model_ready("ranklift")
            return await grpc.infer(infer_request(binary=binary))

    np.testing.assert_allclose(asyncio.run(ask()).outputs[0].as_numpy(), expected, atol=1e-5)


def test_grpc_refuses_with_a_status_and_one_sentence(predictor):
    import grpc

    async def ask(request):
        async with InferenceGRPCClient(predictor.grpc) as opened:
            return await opened.infer(request)

    lonely = InferRequest(model_name="ranklift", infer_inputs=infer_request(binary=False).inputs[:1])
    elsewhere = InferRequest(model_name="other", infer_inputs=infer_request(binary=False).inputs)
    for request, code in ((lonely, "INVALID_ARGUMENT"), (elsewhere, "NOT_FOUND")):
        with pytest.raises(grpc.RpcError) as caught:
            asyncio.run(ask(request))
        assert caught.value.code().name == code
        assert caught.value.details().endswith(".")


def test_grpc_calls_are_counted_as_http_requests_are(predictor):
    import grpc

    lonely = InferRequest(model_name="ranklift", infer_inputs=infer_request(binary=False).inputs[:1])

    async def ask():
        async with InferenceGRPCClient(predictor.grpc) as opened:
            await opened.infer(infer_request(binary=False))
            with pytest.raises(grpc.RpcError):
                await opened.infer(lonely)

    def counted() -> dict[str, float]:
        samples = [line.rsplit(" ", 1) for line in httpx.get(f"{predictor.url}/metrics").text.splitlines()]
        route = 'ranklift_requests_total{route="/inference.GRPCInferenceService/ModelInfer",status='
        return {
            status: sum(float(value) for name, value in samples if name == f'{route}"{status}"}}')
            for status in ("OK", "INVALID_ARGUMENT")
        }

    before = counted()
    asyncio.run(ask())
    assert counted() == {status: count + 1 for status, count in before.items()}
