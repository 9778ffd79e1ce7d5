"""OpenAI's embeddings with OpenAI's own client, and the rerank route of Jina and Cohere."""

import base64
import json

import httpx
import numpy as np
import openai
import pytest

from components.export.model import export_model
from components.model.encoder import Encoder
from tests.factories.models import make_tiny_model
from tests.kserve.conftest import TEXTS
from tests.kserve.running import running

LONE = "\udfff"


@pytest.fixture(scope="module")
def sdk(predictor):
    with openai.OpenAI(base_url=f"{predictor.url}/v1", api_key="none", max_retries=0) as opened:
        yield opened


@pytest.fixture(scope="module")
def embeddings(exported_tiny_model):
    return Encoder.open(exported_tiny_model).encode_documents(TEXTS)


@pytest.mark.parametrize("encoding", ["float", "base64", openai.omit], ids=["float", "base64", "the client's choice"])
def test_the_openai_client_gets_the_encoders_embeddings(sdk, embeddings, encoding):
    answer = sdk.embeddings.create(model="ranklift", input=TEXTS, encoding_format=encoding)
    assert [item.index for item in answer.data] == [0, 1, 2, 3]
    rows = [item.embedding for item in answer.data]
    if encoding == "base64":
        rows = [np.frombuffer(base64.b64decode(row), dtype="<f4") for row in rows]
    np.testing.assert_allclose(rows, embeddings, atol=1e-5)


def test_one_text_is_an_input_too(sdk, embeddings):
    answer = sdk.embeddings.create(model="ranklift", input=TEXTS[1])
    np.testing.assert_allclose(answer.data[0].embedding, embeddings[1], atol=1e-5)


def test_usage_counts_the_tokens_that_the_model_reads_cached_or_not(sdk, exported_tiny_model):
    expected = Encoder.open(exported_tiny_model).count_tokens(TEXTS)
    for _ in range(2):
        usage = sdk.embeddings.create(model="ranklift", input=TEXTS).usage
        assert (usage.prompt_tokens, usage.total_tokens) == (expected, expected)


def test_dimensions_are_the_models_own(sdk):
    assert len(sdk.embeddings.create(model="ranklift", input="sort", dimensions=32).data[0].embedding) == 32
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.embeddings.create(model="ranklift", input="sort", dimensions=16)
    assert caught.value.body["message"].startswith("dimensions must be 32")


def test_the_models_are_listed_for_openai_and_for_kserve(sdk, client, exported_tiny_model):
    (model,) = sdk.models.list().data
    assert (model.id, model.object, model.owned_by, model.created > 0) == ("ranklift", "model", "ranklift", True)
    assert sdk.models.retrieve("ranklift").id == "ranklift"
    assert client.get("/v1/models").json()["models"] == ["ranklift"]
    kserves = client.get("/v1/models/ranklift").json()
    assert (kserves["name"], kserves["ready"]) == ("ranklift", True)


def test_2048_inputs_are_one_request_and_one_more_is_refused(sdk):
    texts = [f"text {number}" for number in range(2049)]
    assert len(sdk.embeddings.create(model="ranklift", input=texts[:2048]).data) == 2048
    with pytest.raises(openai.UnprocessableEntityError, match="2049 texts where 2048 is the limit"):
        sdk.embeddings.create(model="ranklift", input=texts)


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]], ids=["of a text", "of texts"])
def test_token_ids_are_refused_with_the_switch_that_sends_texts(sdk, tokens):
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
        sdk.embeddings.create(model="ranklift", input=tokens)


def test_dimensions_of_a_matryoshka_model_are_cut_and_scaled(tiny_model, embeddings, tmp_path):
    export_model(tiny_model, tmp_path / "model", texts=TEXTS, max_seq_length=32, matryoshka=[8, 16])
    with (
        running(tmp_path / "model", tmp_path) as predictor,
        openai.OpenAI(base_url=f"{predictor.url}/v1", api_key="none", max_retries=0) as sdk,
    ):
        answer = sdk.embeddings.create(model="ranklift", input=TEXTS, dimensions=16)
        rows = np.array([item.embedding for item in answer.data])
        cut = embeddings[:, :16]
        np.testing.assert_allclose(rows, cut / np.linalg.norm(cut, axis=1, keepdims=True), atol=1e-5)
        with pytest.raises(openai.BadRequestError, match="dimensions must be one of 8, 16, 32"):
            sdk.embeddings.create(model="ranklift", input=TEXTS, dimensions=9)
        with pytest.raises(openai.NotFoundError, match="no such model"):
            sdk.embeddings.create(model="other@V3", input=TEXTS)


WRONG = {
    "tokens for texts": ({"input": [[1, 2]]}, 400),
    "tokens for a text": ({"input": [1, 2]}, 400),
    "tokens for many texts": ({"input": [[1] * 500] * 500}, 400),
    "a number": ({"input": 3}, 422),
    "no input": ({}, 422),
    "an empty text": ({"input": ""}, 422),
    "an empty list": ({"input": []}, 422),
    "another encoding": ({"input": "a", "encoding_format": "hex"}, 422),
    "no dimensions": ({"input": "a", "dimensions": 0}, 422),
    "a lone surrogate": ({"input": [LONE]}, 422),
}


@pytest.mark.parametrize(("body", "status"), WRONG.values(), ids=WRONG)
def test_a_wrong_request_is_refused_in_openais_shape(client, body, status):
    answer = client.post("/v1/embeddings", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"]["message"].endswith(".")


def test_rerank_orders_as_find_similar_does(client):
    body = {"query": "sum of an array", "documents": TEXTS}
    ranking = client.post("/find_similar", json=body).json()["ranking"]
    answer = client.post("/v1/rerank", json={**body, "model": "ranklift"}).json()
    assert [(item["index"], pytest.approx(item["relevance_score"], abs=1e-5)) for item in answer["results"]] == [
        (item["index"], item["score"]) for item in ranking
    ]
    assert answer["model"] == "ranklift"
    assert answer["usage"]["total_tokens"] > 0


def test_rerank_takes_documents_as_texts_and_as_objects(client):
    documents = [TEXTS[0], {"text": TEXTS[1]}]
    body = {"query": "a path", "documents": documents, "top_n": 1, "return_documents": True}
    (result,) = client.post("/v1/rerank", json=body).json()["results"]
    assert result["document"] == {"text": TEXTS[result["index"]]}


def test_prompts_go_to_their_own_sides(tmp_path):
    prompts = {"query": "find: ", "document": "text: "}
    source = make_tiny_model(tmp_path / "source", prompts=prompts)
    export_model(source, tmp_path / "model", texts=TEXTS, max_seq_length=32)
    encoder = Encoder.open(tmp_path / "model")
    query, document = encoder.encode_queries(["sort"])[0], encoder.encode_documents(["sort"])[0]
    assert float(query @ document) < 0.9999
    with (
        running(tmp_path / "model", tmp_path) as predictor,
        openai.OpenAI(base_url=f"{predictor.url}/v1", api_key="none") as sdk,
    ):
        asked = sdk.embeddings.create(model="m", input="sort", extra_body={"input_type": "query"}).data[0].embedding
        kept = sdk.embeddings.create(model="m", input="sort").data[0].embedding
        np.testing.assert_allclose(asked, query, atol=1e-5)
        np.testing.assert_allclose(kept, document, atol=1e-5)
        body = {"query": "sort", "documents": ["sort"]}
        answers = {path: httpx.post(predictor.url + path, json=body).json() for path in ("/find_similar", "/v1/rerank")}
    assert answers["/find_similar"]["score"] == pytest.approx(float(query @ document), abs=1e-5)
    assert answers["/v1/rerank"]["results"][0]["relevance_score"] == pytest.approx(float(query @ document), abs=1e-5)
