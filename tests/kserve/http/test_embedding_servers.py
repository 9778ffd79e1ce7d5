"""The routes of text-embeddings-inference, with Hugging Face's own client, and vLLM's score route."""

import httpx
import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from components.model.encoder import Encoder
from components.model.served import EncoderConfig
from tests.kserve.conftest import TEXTS

LONG = "sort " * 100


@pytest.fixture(scope="module")
def encoder(exported_tiny_model):
    return Encoder.open(exported_tiny_model)


def hugging_face(predictor, route: str) -> InferenceClient:
    return InferenceClient(model=f"{predictor.url}{route}", timeout=30)


@pytest.mark.parametrize("texts", [TEXTS[0], TEXTS], ids=["one text", "several"])
def test_embed_gives_hugging_faces_client_the_encoders_embeddings(predictor, encoder, texts):
    embedded = hugging_face(predictor, "/embed").feature_extraction(texts, normalize=True, truncate=True)
    expected = encoder.encode_documents([texts] if isinstance(texts, str) else texts)
    np.testing.assert_allclose(embedded, expected, atol=1e-5)


def test_embed_with_the_querys_prompt(predictor, encoder):
    embedded = hugging_face(predictor, "/embed").feature_extraction(TEXTS[0], prompt_name="query")
    np.testing.assert_allclose(embedded, encoder.encode_queries(TEXTS[:1]), atol=1e-5)


def test_a_text_that_must_not_be_cut_is_too_large(predictor):
    with pytest.raises(HfHubHTTPError) as caught:
        hugging_face(predictor, "/embed").feature_extraction(LONG, truncate=False)
    assert caught.value.response.status_code == 413
    assert "inputs[0] has more than 32 tokens" in caught.value.response.json()["error"]
    assert caught.value.response.headers["x-compute-tokens"] == "32"


@pytest.mark.parametrize("truncate", [True, None], ids=["cut", "not set"])
def test_a_text_that_may_be_cut_is(client, truncate):
    answer = client.post("/embed", json={"inputs": [LONG, "sort"], "truncate": truncate})
    assert answer.status_code == 200
    assert int(answer.headers["x-compute-tokens"]) > 32
    assert int(answer.headers["x-compute-characters"]) == len(LONG) + 4


def test_a_text_that_just_fits_is_not_cut(client, encoder):
    words = ["sort"] * (encoder.config.max_seq_length - 2)
    assert encoder.count_tokens([" ".join(words)]) == encoder.config.max_seq_length
    for text, status in ((" ".join(words), 200), (" ".join([*words, "a"]), 413)):
        answer = client.post("/embed", json={"inputs": text, "truncate": False})
        assert answer.status_code == status


def test_similarity_gives_hugging_faces_client_a_score_of_each(predictor, client):
    scores = hugging_face(predictor, "/similarity").sentence_similarity(TEXTS[0], TEXTS[1:])
    ranking = client.post("/find_similar", json={"query": TEXTS[0], "documents": TEXTS[1:]}).json()["ranking"]
    assert scores == [
        pytest.approx(item["score"], abs=1e-5) for item in sorted(ranking, key=lambda item: item["index"])
    ]


def test_rerank_ranks_as_find_similar_does(client):
    ranking = client.post("/find_similar", json={"query": "a path", "documents": TEXTS}).json()["ranking"]
    body = {"query": "a path", "texts": TEXTS, "return_text": True, "raw_scores": None, "truncate": None}
    ranks = client.post("/rerank", json=body).json()
    assert [(item["index"], pytest.approx(item["score"], abs=1e-5)) for item in ranks] == [
        (item["index"], item["score"]) for item in ranking
    ]
    assert [item["text"] for item in ranks] == [TEXTS[item["index"]] for item in ranks]
    assert client.post("/rerank", json={**body, "texts": [LONG], "truncate": False}).status_code == 413


def test_info_tells_the_model_and_its_limits(client, exported_tiny_model):
    info = client.get("/info").json()
    assert info["model_sha"] == EncoderConfig.of(exported_tiny_model).digest
    assert (info["max_input_length"], info["auto_truncate"], info["max_client_batch_size"]) == (32, True, 2048)


def test_health_is_an_empty_200(client):
    answer = client.get("/health")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("path", ["/score", "/v1/score"])
def test_score_compares_one_text_with_each_of_several(predictor, client, path):
    body = {"model": "ranklift", "text_1": "a path", "text_2": TEXTS, "truncate_prompt_tokens": None}
    answer = httpx.post(predictor.url + path, json=body).json()
    ranking = client.post("/find_similar", json={"query": "a path", "documents": TEXTS}).json()["ranking"]
    assert [item["score"] for item in answer["data"]] == [
        pytest.approx(item["score"], abs=1e-5) for item in sorted(ranking, key=lambda item: item["index"])
    ]
    assert answer["usage"]["total_tokens"] > 0


def test_score_compares_pairs(client):
    pairs = client.post("/score", json={"text_1": TEXTS[:2], "text_2": TEXTS[2:]}).json()["data"]
    for index, pair in enumerate(pairs):
        alone = client.post("/score", json={"text_1": TEXTS[index], "text_2": TEXTS[2 + index]}).json()["data"][0]
        assert pair["score"] == pytest.approx(alone["score"], abs=1e-4)
    assert client.post("/score", json={"text_1": TEXTS[:3], "text_2": TEXTS[:2]}).status_code == 422
