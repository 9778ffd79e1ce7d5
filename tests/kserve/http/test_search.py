"""POST /search: the passages that an exact search finds, named with model and index, and every way to ask wrongly."""

import json
import shutil
import subprocess

import httpx
import numpy as np
import pytest

from components.model.encoder import Encoder, comparable
from tests.factories.index_versions import index_of
from tests.kserve.conftest import CORPUS
from tests.kserve.running import command, running

QUERY = "how to sort an array"


@pytest.fixture(scope="module")
def encoder(exported_tiny_model):
    return Encoder.open(exported_tiny_model)


@pytest.fixture(scope="module", params=[None, "int8"], ids=["exact", "graph"])
def searching(request, exported_tiny_model, encoder, tmp_path_factory):
    """A predictor with an index of the corpus, searched exactly or through a graph."""
    folder = tmp_path_factory.mktemp("searching")
    index_of(folder / "index", encoder, CORPUS, graph=request.param)
    with (
        running(exported_tiny_model, folder, "--index_dir", str(folder / "index"), "--max_hits", "50") as started,
        httpx.Client(base_url=started.url, timeout=30) as opened,
    ):
        yield opened


def ask(client, **fields):
    return client.post("/search", json=fields)


def exact(encoder, query):
    """Every id with its score, best first, by the encoder that was judged."""
    passages = comparable(encoder.encode_documents(list(CORPUS.values())), encoder.config)
    scores = passages @ comparable(encoder.encode_queries([query]), encoder.config)[0]
    return sorted(zip(CORPUS, scores.tolist(), strict=True), key=lambda pair: -pair[1])


def test_search_query_finds_what_an_exact_search_finds(searching, encoder):
    hits = ask(searching, query=QUERY).json()["hits"]
    expected = exact(encoder, QUERY)
    assert [hit["id"] for hit in hits] == [name for name, _ in expected]
    np.testing.assert_allclose([hit["score"] for hit in hits], [score for _, score in expected], atol=2e-3)
    assert [hit["text"] for hit in hits] == [CORPUS[hit["id"]] for hit in hits]


def test_search_answer_names_model_and_index(searching, encoder):
    answer = ask(searching, query=QUERY)
    body = answer.json()
    assert body["model_digest"] == encoder.digest
    assert body["index_version"] == body["index_digest"][:12]
    assert answer.headers["X-Ranklift-Index-Digest"] == body["index_digest"]
    assert answer.headers["X-Ranklift-Model-Digest"] == body["model_digest"]


def test_search_queries_answers_each_as_alone(searching):
    queries = [QUERY, "a path", "an edge", QUERY] * 5
    results = ask(searching, queries=queries, top_k=2).json()["results"]
    alone = {query: ask(searching, query=query, top_k=2).json()["hits"] for query in set(queries)}
    assert [[hit["id"] for hit in result["hits"]] for result in results] == [
        [hit["id"] for hit in alone[query]] for query in queries
    ]


def test_search_top_k_limits_the_hits(searching):
    assert len(ask(searching, query=QUERY, top_k=2).json()["hits"]) == 2


def test_search_top_k_beyond_the_index_finds_all_of_it(searching):
    assert len(ask(searching, query=QUERY, top_k=50).json()["hits"]) == len(CORPUS)


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        pytest.param(["trees/edge", "graphs/path"], {"trees/edge", "graphs/path"}, id="two"),
        pytest.param(["trees/ünicode"], {"trees/ünicode"}, id="an-id-beyond-ascii"),
        pytest.param(["trees/edge", "not here", "trees/edge"], {"trees/edge"}, id="unknown-and-twice"),
        pytest.param(["not here"], set(), id="unknown"),
        pytest.param([], set(), id="none"),
        pytest.param(["\ud800"], set(), id="a-lone-surrogate"),
    ],
)
def test_search_ids_finds_no_other(searching, ids, found):
    content = json.dumps({"query": "sort", "ids": ids})  # httpx would not write a lone surrogate
    answer = searching.post("/search", content=content, headers={"Content-Type": "application/json"})
    assert {hit["id"] for hit in answer.json()["hits"]} == found


def test_search_without_texts_leaves_them_out(searching):
    assert set(ask(searching, query=QUERY, return_texts=False).json()["hits"][0]) == {"id", "score"}


@pytest.mark.parametrize("fields", [{"index": "V9"}, {"model": "ranklift@V9"}], ids=["index", "model"])
def test_search_demand_for_another_version_is_409(searching, fields):
    answer = ask(searching, query=QUERY, **fields)
    assert answer.status_code == 409
    assert "demands V9" in answer.json()["error"]


def test_search_demand_for_this_index_is_answered(searching):
    digest = searching.get("/index").json()["index_digest"]
    assert ask(searching, query=QUERY, index=digest).status_code == 200


WRONG = {
    "nothing": ({}, 422, 'Send either "query", one text, or "queries", a list of texts.'),
    "both": ({"query": "a", "queries": ["b"]}, 422, 'Send either "query"'),
    "a list": ([], 422, "The request body must be a JSON object."),
    "an empty query": ({"query": ""}, 422, "query must not be empty."),
    "no queries": ({"queries": []}, 422, "queries must not be empty."),
    "an empty one among queries": ({"queries": ["a", ""]}, 422, "A query must not be empty."),
    "a number": ({"query": 3}, 422, "query must be a string."),
    "top_k 0": ({"query": "a", "top_k": 0}, 422, "top_k must be at least 1."),
    "top_k -1": ({"query": "a", "top_k": -1}, 422, "top_k must be at least 1."),
    "top_k 1.5": ({"query": "a", "top_k": 1.5}, 422, "top_k must be a whole number."),
    "top_k text": ({"query": "a", "top_k": "5"}, 422, "top_k must be a whole number."),
    "too many hits": ({"queries": ["a"] * 6, "top_k": 10}, 422, "may find 60 passages, queries times top_k, where 50"),
    "a huge top_k": ({"query": "a", "top_k": 10**30}, 422, ""),
    "ids no list": ({"query": "a", "ids": "b"}, 422, "ids must be a list."),
    "a number among ids": ({"query": "a", "ids": ["b", 3]}, 422, "ids[1] must be a string."),
    "too many ids": ({"query": "a", "ids": ["b"] * 1001}, 422, "has 1001 ids where 1000 is the limit"),
    "a long query": ({"query": "a" * 100_001}, 422, "has 100001 characters where 100000 is the limit"),
}


@pytest.mark.parametrize(("body", "status", "sentence"), WRONG.values(), ids=WRONG)
def test_search_wrong_request_is_refused_with_one_sentence(searching, body, status, sentence):
    answer = searching.post("/search", json=body)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


def test_search_is_counted_by_route_and_by_its_time_in_the_index(searching):
    def metric(name):
        lines = searching.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    before = metric("ranklift_search_seconds_count"), metric('ranklift_requests_total{route="/search",status="200"}')
    ask(searching, queries=["a"] * 17, top_k=1)
    after = metric("ranklift_search_seconds_count"), metric('ranklift_requests_total{route="/search",status="200"}')
    assert (after[0] - before[0], after[1] - before[1]) == (2, 1)


def test_index_says_what_is_searched(searching):
    answer = searching.get("/index").json()
    assert answer["passages"] == len(CORPUS)
    assert answer["has_texts"] is True
    assert "a test" not in answer.values(), "where the corpus came from is nobody's business"


def test_search_without_an_index_is_404_and_says_how_to_make_one(exported_tiny_model, tmp_path):
    with running(exported_tiny_model, tmp_path) as started:
        answers = [httpx.get(f"{started.url}/index"), httpx.post(f"{started.url}/search", json={"query": QUERY})]
    for answer in answers:
        assert answer.status_code == 404
        assert "`ranklift run --index-corpus URI` makes one" in answer.json()["error"]


def test_start_with_an_index_of_another_model_is_refused(exported_tiny_model, encoder, tmp_path):
    index_of(tmp_path / "index", encoder, CORPUS)
    content = (tmp_path / "index" / "index.json").read_text()
    (tmp_path / "index" / "index.json").write_text(content.replace(encoder.digest, "b" * 64))
    ended = run_to_its_end(exported_tiny_model, tmp_path / "index")
    assert ended.returncode == 2
    assert "is the index of model V0 (bbbbbbbbbbbb…), and the queries would come from" in ended.stderr


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        pytest.param(shutil.rmtree, "is not an index: it has no index.json", id="no-folder"),
        pytest.param(lambda folder: (folder / "shards/00000.safetensors").unlink(), "is missing", id="no-shard"),
        pytest.param(
            lambda folder: (folder / "shards/00000.safetensors").write_bytes(b""), "cannot be opened", id="empty-shard"
        ),
        pytest.param(
            lambda folder: (folder / "shards/00000.safetensors").write_bytes(
                (folder / "shards/00000.safetensors").read_bytes()[:-30]
            ),
            "does not lie in it",
            id="truncated-shard",
        ),
        pytest.param(
            lambda folder: (folder / "index.json").write_text("{}"), "is not a manifest of an index", id="manifest"
        ),
    ],
)
def test_start_with_a_damaged_index_is_one_sentence(exported_tiny_model, encoder, tmp_path, harm, sentence):
    index_of(tmp_path / "index", encoder, CORPUS)
    harm(tmp_path / "index")
    ended = run_to_its_end(exported_tiny_model, tmp_path / "index")
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


def run_to_its_end(model, index):
    return subprocess.run(
        command(model, "--index_dir", str(index)), capture_output=True, text=True, check=False, timeout=60
    )


def test_switch_to_another_index_of_the_model_answers_from_it(exported_tiny_model, encoder, tmp_path):
    index_of(tmp_path / "one", encoder, CORPUS)
    index_of(tmp_path / "two", encoder, {"new": "a new passage about arrays"})
    link = tmp_path / "index"
    link.symlink_to("one")
    with running(exported_tiny_model, tmp_path, "--index_dir", str(link)) as started:
        client = httpx.Client(base_url=started.url, timeout=30)
        first = client.get("/index").json()["index_digest"]
        assert "error" not in load(client)
        assert client.get("/index").json()["index_digest"] == first
        link.unlink()
        link.symlink_to("two")
        load(client)
        assert [hit["id"] for hit in ask(client, query=QUERY).json()["hits"]] == ["new"]
        (tmp_path / "two" / "index.json").unlink()
        assert "is not an index" in load(client)["error"]
        assert [hit["id"] for hit in ask(client, query=QUERY).json()["hits"]] == ["new"]
        client.close()


def load(client):
    return client.post("/v2/repository/models/ranklift/load", json={}).json()
