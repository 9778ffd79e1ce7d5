"""POST /find_similar: the most similar document, the ranking, and every way to ask wrongly."""

import json

import numpy as np
import pytest

from components.model.encoder import Encoder
from tests.kserve.conftest import TEXTS

QUERY = "how to sort an array"


def ask(client, **fields):
    return client.post("/find_similar", json={"query": QUERY, "documents": TEXTS, **fields})


def test_the_answer_names_the_best_document_and_ranks_all(client):
    answer = ask(client).json()
    ranking = answer["ranking"]
    assert answer["document"] == TEXTS[answer["index"]]
    assert (answer["index"], answer["score"]) == (ranking[0]["index"], ranking[0]["score"])
    assert sorted(item["index"] for item in ranking) == [0, 1, 2, 3]
    scores = [item["score"] for item in ranking]
    assert scores == sorted(scores, reverse=True)
    assert answer["model_name"] == "ranklift"
    assert answer["model_version"]


def test_the_scores_are_those_of_the_encoder_that_was_judged(client, exported_tiny_model):
    encoder = Encoder.open(exported_tiny_model)
    expected = encoder.encode_documents(TEXTS) @ encoder.encode_queries([QUERY])[0]
    ranking = ask(client).json()["ranking"]
    served = [item["score"] for item in sorted(ranking, key=lambda item: item["index"])]
    np.testing.assert_allclose(served, expected, atol=1e-5)


def test_top_k_shortens_the_ranking(client):
    assert len(ask(client, top_k=2).json()["ranking"]) == 2
    assert len(ask(client, top_k=99).json()["ranking"]) == 4


def test_documents_come_back_when_asked_for(client):
    assert "document" not in ask(client).json()["ranking"][0]
    ranking = ask(client, return_documents=True).json()["ranking"]
    assert [item["document"] for item in ranking] == [TEXTS[item["index"]] for item in ranking]


def test_equal_documents_rank_in_the_order_given(client):
    ranking = client.post("/find_similar", json={"query": "sort", "documents": ["a tree"] * 3}).json()["ranking"]
    assert [item["index"] for item in ranking] == [0, 1, 2]


WRONG = {
    "no fields": ({}, 422, "query is missing."),
    "no documents": ({"query": "sort"}, 422, "documents is missing."),
    "a list": ([], 422, "The request body must be a JSON object."),
    "null": (None, 422, "The request body must be a JSON object."),
    "a number for a query": ({"query": 3, "documents": ["a"]}, 422, "query must be a string."),
    "an empty query": ({"query": "", "documents": ["a"]}, 422, "query must not be empty."),
    "no document in the list": ({"query": "a", "documents": []}, 422, "documents must not be empty."),
    "a text for the list": ({"query": "a", "documents": "b"}, 422, "documents must be a list."),
    "a number among documents": ({"query": "a", "documents": ["b", 1]}, 422, "documents[1] must be a string."),
    "top_k zero": ({"query": "a", "documents": ["b"], "top_k": 0}, 422, "top_k must be at least 1."),
    "top_k a half": ({"query": "a", "documents": ["b"], "top_k": 0.5}, 422, "top_k must be a whole number."),
    "a lone surrogate": (
        {"query": "\ud800", "documents": ["b"]},
        422,
        "query must be valid Unicode, without lone surrogates.",
    ),
    "too many documents": ({"query": "a", "documents": ["b"] * 1001}, 422, "1001 is the limit"),
    "too long a document": ({"query": "a", "documents": ["b" * 100_001]}, 422, "100000 is the limit"),
    "nested too deep": ({"query": json.loads("[" * 40 + "]" * 40), "documents": []}, 422, "32 levels, the limit"),
}


@pytest.mark.parametrize(("body", "status", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_request_gets_one_sentence_and_the_server_lives(client, body, status, sentence):
    answer = client.post("/find_similar", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert sentence in error
    assert error.endswith(".")
    assert "\n" not in error
    assert ask(client).status_code == 200


MALFORMED = {
    "half an object": (b'{"query":', "application/json", 400, "not valid JSON"),
    "not UTF-8 at the end of much": (
        b'{"query": "' + b"a" * (1 << 20) + b'\xff"}',
        "application/json",
        400,
        "not valid JSON",
    ),
    "not UTF-8": (b'{"query": "\xff", "documents": ["a"]}', "application/json", 400, "not valid JSON"),
    "a form": (b"query=a&documents=b", "application/x-www-form-urlencoded", 415, "Content-Type: application/json"),
    "no content type": (b'{"query": "a", "documents": "a"}', None, 422, "documents must be a list"),
    "too large": (b'{"query": "' + b"a" * (4 << 20) + b'"}', "application/json", 413, "4194304 bytes, the limit"),
    "very deep": (b"[" * 100_000, "application/json", 422, "32 levels, the limit"),
    "nothing": (b"", "application/json", 422, "The request body is missing."),
}


@pytest.mark.parametrize(("content", "kind", "status", "sentence"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_gets_one_sentence_and_the_server_lives(client, content, kind, status, sentence):
    headers = {"Content-Type": kind} if kind else {}
    answer = client.post("/find_similar", content=content, headers=headers)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]
    assert ask(client).status_code == 200


def test_a_body_without_a_stated_length_is_limited_too(client):
    chunks = (b"a" * 65536 for _ in range(100))
    answer = client.post("/find_similar", content=chunks, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_other_paths_and_methods_are_refused_in_the_same_shape(client):
    for answer, status in ((client.get("/find_similar"), 405), (client.get("/nothing/here"), 404)):
        assert answer.status_code == status
        assert answer.json()["error"].endswith(".")


def test_every_answer_carries_an_id_and_the_security_headers(client):
    for answer in (ask(client), client.get("/nothing")):
        assert answer.headers["x-request-id"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    given = client.post("/find_similar", json={}, headers={"X-Request-ID": "my-id-1"})
    assert given.headers["x-request-id"] == given.json()["request_id"] == "my-id-1"
    forged = client.get("/nothing", headers={"X-Request-ID": 'x" status=200 {'})
    assert '"' not in forged.headers["x-request-id"]


def test_no_score_of_a_cosine_model_leaves_its_range(client):
    texts = [f"{word} {number}" for number in range(60) for word in ("sort", "graph", "array")]
    for text in texts[:10]:
        ranking = client.post("/find_similar", json={"query": text, "documents": [text, *texts]}).json()["ranking"]
        assert ranking[0]["score"] == pytest.approx(1, abs=1e-5)
        assert all(-1 <= item["score"] <= 1 for item in ranking)
