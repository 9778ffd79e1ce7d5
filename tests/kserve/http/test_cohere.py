"""Cohere's routes with Cohere's own clients, of both versions of its API."""

import base64

import cohere
import numpy as np
import pytest

from components.model.encoder import Encoder
from tests.kserve.conftest import TEXTS

QUERY = "sum of an array"


@pytest.fixture(scope="module")
def v2(predictor):
    return cohere.ClientV2(api_key="none", base_url=predictor.url)


@pytest.fixture(scope="module")
def v1(predictor):
    return cohere.Client(api_key="none", base_url=predictor.url)


@pytest.fixture(scope="module")
def encoder(exported_tiny_model):
    return Encoder.open(exported_tiny_model)


@pytest.fixture
def ranking(client):
    answer = client.post("/find_similar", json={"query": QUERY, "documents": TEXTS}).json()["ranking"]
    return [(item["index"], pytest.approx(item["score"], abs=1e-5)) for item in answer]


def test_client_v2_reranks_as_find_similar_does(v2, ranking):
    answer = v2.rerank(model="ranklift", query=QUERY, documents=TEXTS)
    assert [(item.index, item.relevance_score) for item in answer.results] == ranking
    assert answer.meta.billed_units.search_units == 1


def test_client_v2_reranks_to_the_best(v2, ranking):
    answer = v2.rerank(model="rerank-v3.5", query=QUERY, documents=TEXTS, top_n=2, max_tokens_per_doc=100)
    assert [(item.index, item.relevance_score) for item in answer.results] == ranking[:2]


def test_client_v1_reranks_and_returns_documents(v1, ranking):
    documents = [{"text": text} for text in TEXTS]
    answer = v1.rerank(model="ranklift", query=QUERY, documents=documents, return_documents=True)
    assert [(item.index, item.relevance_score) for item in answer.results] == ranking
    assert [item.document.text for item in answer.results] == [TEXTS[item.index] for item in answer.results]


@pytest.mark.parametrize("kind", ["search_query", "search_document"])
def test_client_v2_embeds_each_side_as_the_encoder_does(v2, encoder, kind):
    answer = v2.embed(model="ranklift", texts=TEXTS, input_type=kind, embedding_types=["float", "base64"])
    expected = (encoder.encode_queries if kind == "search_query" else encoder.encode_documents)(TEXTS)
    np.testing.assert_allclose(answer.embeddings.float_, expected, atol=1e-5)
    decoded = [np.frombuffer(base64.b64decode(row), dtype="<f4") for row in answer.embeddings.base64]
    np.testing.assert_allclose(decoded, expected, atol=1e-5)
    assert answer.meta.billed_units.input_tokens == encoder.count_tokens(TEXTS)


def test_client_v2_embeds_inputs_in_parts(v2, encoder):
    inputs = [{"content": [{"type": "text", "text": text}]} for text in TEXTS]
    answer = v2.embed(model="ranklift", inputs=inputs, input_type="search_document", embedding_types=["float"])
    np.testing.assert_allclose(answer.embeddings.float_, encoder.encode_documents(TEXTS), atol=1e-5)


def test_client_v1_embeds_into_a_list(v1, encoder):
    answer = v1.embed(texts=TEXTS, model="ranklift", input_type="search_document")
    np.testing.assert_allclose(answer.embeddings, encoder.encode_documents(TEXTS), atol=1e-5)


def test_client_v1_embeds_by_type(v1, encoder):
    answer = v1.embed(texts=TEXTS, model="ranklift", input_type="search_query", embedding_types=["float"])
    np.testing.assert_allclose(answer.embeddings.float_, encoder.encode_queries(TEXTS), atol=1e-5)


def test_a_text_that_must_not_be_cut_is_refused(v2):
    with pytest.raises(cohere.BadRequestError) as caught:
        v2.embed(model="ranklift", texts=["short", "sort " * 100], input_type="search_query", truncate="NONE")
    assert "texts[1] has more than 32 tokens" in caught.value.body["error"]


def test_clients_embed_into_signs_as_sentence_transformers_quantises(v2, v1, encoder):
    from sentence_transformers.util.quantization import quantize_embeddings

    options = {"model": "ranklift", "texts": TEXTS, "input_type": "search_document"}
    vectors = encoder.encode_documents(TEXTS)
    for client in (v2, v1):
        answer = client.embed(**options, embedding_types=["binary", "ubinary"])
        assert answer.embeddings.binary == quantize_embeddings(vectors, "binary").tolist()
        assert answer.embeddings.ubinary == quantize_embeddings(vectors, "ubinary").tolist()
        assert answer.embeddings.float_ is None


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_types_that_are_not_served_are_named(v2, kind):
    with pytest.raises(cohere.UnprocessableEntityError) as caught:
        v2.embed(model="ranklift", texts=TEXTS, input_type="search_query", embedding_types=["float", kind])
    expected = "embedding_types[1] must be one of 'float', 'base64', 'binary' or 'ubinary'."
    assert caught.value.body["error"] == expected


def test_a_type_that_is_asked_for_again_and_again_is_made_once(client):
    body = {"texts": TEXTS, "embedding_types": ["float"] * 40_000}
    answer = client.post("/v2/embed", json=body, timeout=10)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["embeddings"]["float"]) == len(TEXTS)


def test_null_in_every_optional_field_means_not_set(client):
    optional = ["inputs", "model", "input_type", "embedding_types", "output_dimension", "truncate", "images"]
    answer = client.post("/v2/embed", json={"texts": TEXTS, **dict.fromkeys(optional)})
    assert answer.status_code == 200, answer.text
    optional = ["model", "top_n", "return_documents", "rank_fields", "max_chunks_per_doc"]
    answer = client.post("/v1/rerank", json={"query": QUERY, "documents": TEXTS, **dict.fromkeys(optional)})
    assert answer.status_code == 200, answer.text
