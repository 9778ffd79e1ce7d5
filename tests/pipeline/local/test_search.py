"""`ranklift search`, `compare --index` and `indexes publish`: on a registry with two models, each with its index."""

import json
import os
import shutil

import httpx
import pytest
from typer.testing import CliRunner

from components.deploy.machine.deploy import deploy_local
from components.deploy.machine.folder import current_link, current_version, record_predictor
from components.deploy.outcome import NotDeployedError
from components.deploy.rollback import rollback
from components.index.options import IndexOptions
from components.index.promote import index_and_promote
from components.index.sinks.uri import open_sink
from components.index.stage import Given
from components.model.served import EncoderConfig
from components.promote.promote import promote
from pipeline.cli import app
from tests.components.index.conftest import texts_of, write_corpus
from tests.factories.decisions import make_decision
from tests.factories.evaluation_sets import write_dataset_version
from tests.kserve.running import running
from tests.standins.postgres import postgres

SMALL = IndexOptions(shard_size=16, graph_shards=2, exact_up_to=0)
QUERY = "array matrix graph"


@pytest.fixture
def home(registry, tmp_path, monkeypatch):
    """The data folder of a machine whose registry is the test's."""
    for name, value in registry.store.settings.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RANKLIFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RANKLIFT_SERVING", "machine")
    return tmp_path / "home"


@pytest.fixture
def promoted(registry, home, exported_tiny_model, tmp_path):
    """Promotes the next of two models, which differ in how many tokens they read, with the index of a corpus."""
    lengths = iter((32, 3))
    dataset = write_dataset_version(tmp_path / "dataset")

    def promote_next(corpus):
        length = next(lengths)
        model = shutil.copytree(exported_tiny_model, tmp_path / f"model-{length}")
        EncoderConfig.of(model).model_copy(update={"max_seq_length": length}).write(model / "encoder.json")
        champion = registry.champion()
        decision = make_decision(
            candidate_digest=EncoderConfig.of(model).digest, champion_digest=champion.digest if champion else "b" * 64
        )
        version = promote(model, decision, registry, awaits_index=True)
        given = Given(model, str(write_corpus(tmp_path / f"{version}.jsonl", corpus)), dataset, model_version=version)
        index_and_promote(given, decision, registry, SMALL, home=home)
        return version

    return promote_next


@pytest.fixture
def both(promoted):
    promoted(texts_of(60))
    promoted(texts_of(60, first=10))


def ranklift(*arguments, status=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)
    if status == 0:
        assert result.exception is None, result.exception
    return result


def ids(result):
    return [hit["id"] for hit in json.loads(result.stdout)["hits"]]


def test_search_with_no_predictor_opens_the_champions_index_here(promoted, home):
    promoted(texts_of(60))
    result = ranklift("search", QUERY, "--top-k", 3, "--json")
    answer = json.loads(result.stdout)
    assert (answer["model_version"], answer["index_version"]) == ("V0", "V0")
    assert len(answer["hits"]) == 3
    assert answer["hits"][0]["text"]
    assert ids(ranklift("search", QUERY, "--id", "p0007", "--id", "none", "--json")) == ["p0007"]


def test_search_with_a_predictor_asks_it_and_finds_the_same(promoted, home, registry, tmp_path):
    promoted(texts_of(60))
    alone = ids(ranklift("search", QUERY, "--json"))
    with running(current_link(home), tmp_path / "log") as predictor:
        record_predictor(home, predictor.process.pid, predictor.url)
        before = predictor.metric("ranklift_search_seconds_count")
        assert ids(ranklift("search", QUERY, "--json")) == alone
        assert ids(ranklift("search", QUERY, "--json", "--url", predictor.url)) == alone
        assert predictor.metric("ranklift_search_seconds_count") == before + 2


def test_search_before_a_promotion_says_what_to_run(home):
    result = ranklift("search", QUERY, status=2)
    assert "Nothing has been promoted yet" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param([" "], "The query is empty", id="empty-query"),
        pytest.param(["a", "--url", "localhost"], "is no http address", id="no-address"),
        pytest.param(["a", "--url", "http://127.0.0.1:9"], "did not answer", id="nobody-there"),
    ],
)
def test_search_that_cannot_be_asked_is_one_sentence(home, arguments, sentence):
    assert sentence in str(ranklift("search", *arguments, status=2).exception)


def test_search_of_a_champion_without_an_index_says_how_to_make_one(registry, home, exported_tiny_model):
    digest = EncoderConfig.of(exported_tiny_model).digest
    promote(exported_tiny_model, make_decision(candidate_digest=digest), registry)
    assert "The champion V0 has no index" in str(ranklift("search", QUERY, status=2).exception)


def test_deploy_and_rollback_switch_model_and_index_of_a_running_predictor_together(promoted, registry, home, tmp_path):
    promoted(texts_of(60))
    deploy_local("V0", registry, home)
    with running(current_link(home), tmp_path / "log") as predictor:
        record_predictor(home, predictor.process.pid, predictor.url)
        promoted(texts_of(60, first=10))
        deploy_local("V1", registry, home)
        answers = [httpx.post(f"{predictor.url}/search", json={"query": QUERY}).json()]
        rollback(registry, home)
        answers.append(httpx.post(f"{predictor.url}/search", json={"query": QUERY}).json())
    assert [(it["model_version"], it["index_version"]) for it in answers] == [("V1", "V1"), ("V0", "V0")]


def test_deploy_to_a_predictor_that_holds_to_another_index_is_undone(promoted, registry, home, tmp_path):
    promoted(texts_of(60))
    deploy_local("V0", registry, home)
    kept = shutil.copytree(home / "serving" / "indexes" / "V0", tmp_path / "kept")
    with running(current_link(home), tmp_path / "log", "--index_dir", str(kept)) as predictor:
        record_predictor(home, predictor.process.pid, predictor.url)
        promoted(texts_of(60, first=10))
        with pytest.raises(NotDeployedError, match=r"is the index of model V0 .* V0 serves again"):
            deploy_local("V1", registry, home)
        answer = httpx.post(f"{predictor.url}/search", json={"query": QUERY}).json()
    assert (answer["model_version"], answer["index_version"], current_version(home)) == ("V0", "V0", "V0")


def test_compare_index_shows_what_changed_and_writes_a_page(both, tmp_path):
    queries = tmp_path / "queries.txt"
    queries.write_text(f"{QUERY}\n\nnode edge return value sort\nfile model train test\n", encoding="utf-8")
    page = tmp_path / "compare.html"
    result = ranklift("compare", "--index", "--queries", queries, "-o", page, "--json")
    answer = json.loads(result.stdout)
    assert (answer["previous"]["index_version"], answer["new"]["index_version"]) == ("V0", "V1")
    assert answer["queries"] == 3
    assert answer["agreement"] < 1
    assert answer["changes"][0]["query"] in page.read_text(encoding="utf-8")
    text = ranklift("compare", "--index", "V0", "V0", "--queries", queries).stdout
    assert "V0 and V0 agree on 100.0% of the ten best passages, averaged over 3 queries; 3 find" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param([], "Say what to compare", id="nothing"),
        pytest.param(["--index"], "V0 is the only index that was ever searched", id="one-index"),
        pytest.param(["--index", "V0", "V7"], "V7", id="no-such-index"),
        pytest.param(["--index", "V0", "V0"], "does not say on which dataset", id="no-queries"),
    ],
)
def test_compare_that_cannot_be_done_is_one_sentence(promoted, arguments, sentence):
    promoted(texts_of(30))
    assert sentence in str(ranklift("compare", *arguments, status=2).exception)


def test_publish_puts_the_champions_index_into_a_database(both, tmp_path):
    queries = tmp_path / "queries.txt"
    queries.write_text(QUERY, encoding="utf-8")
    with postgres() as server:
        uri = f"{server.uri}&name=passages"
        answer = json.loads(ranklift("indexes", "publish", uri, "V0", "--queries", queries, "--json").stdout)
        assert (answer["version"], answer["before"], answer["filled"]) == ("V0", None, True)
        answer = json.loads(ranklift("indexes", "publish", uri, "--queries", queries, "--json").stdout)
        assert (answer["version"], answer["before"]) == ("V1", "V0")
        sink = open_sink(uri)
        assert (sink.current(), sink.count(sink.stored()["V1"])) == ("V1", 60)
        sink.close()


def test_publish_without_a_query_to_verify_with_is_refused(promoted, tmp_path):
    promoted(texts_of(30))
    (tmp_path / "queries.txt").write_text("\n", encoding="utf-8")
    with postgres() as server:
        result = ranklift("indexes", "publish", server.uri, "--queries", tmp_path / "queries.txt", status=2)
        sink = open_sink(server.uri)
        assert (sink.current(), sink.stored()) == (None, {})
        sink.close()
    assert "There is no query to verify the database with" in str(result.exception)


def test_token_of_the_environment_is_sent_to_the_predictor(promoted, home, tmp_path, monkeypatch):
    promoted(texts_of(60))
    ranklift("search", QUERY)
    with running(current_link(home), tmp_path / "log", RANKLIFT_PREDICTOR_API_TOKEN="secret") as predictor:
        assert "answered 401" in str(ranklift("search", QUERY, "--url", predictor.url, status=2).exception)
        monkeypatch.setitem(os.environ, "RANKLIFT_PREDICTOR_API_TOKEN", "secret")
        assert ids(ranklift("search", QUERY, "--url", predictor.url, "--json"))
