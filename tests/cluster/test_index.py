"""Model and index in one version on the cluster: made by several pods, delivered side by side, searched, taken back."""

import json
from typing import Any, NamedTuple

import pytest

from components.object_store.client import ObjectStore
from components.registry.registry import Registry
from tests.cluster.conftest import NAME, SERVING, figures, put_model, ranklift
from tests.cluster.gateway import QUESTION, Gateway
from tests.cluster.kubectl import Kubectl, until
from tests.cluster.runs import Pipelines
from tests.components.index.conftest import write_corpus
from tests.factories.models import make_tiny_model

SEARCH = {"query": "array matrix graph", "top_k": 3}


class Indexed(NamedTuple):
    """A run that made an index, while clients asked."""

    document: dict[str, Any]
    told: str
    version: str


@pytest.fixture(scope="module")
def two_base_models(store: ObjectStore, inputs, tmp_path_factory) -> list[str]:
    """The base model of the other tests, and another."""
    folder = make_tiny_model(tmp_path_factory.mktemp("base") / "another", seed=5)
    return [inputs["base_model"], put_model(store, folder, "another")]


@pytest.fixture(scope="module")
def indexed(pipelines: Pipelines, registry: Registry, service, gateway: Gateway, inputs, two_base_models):
    """A run that chooses a base model and promotes it with its index; afterwards the first champion serves again.

    It has so many pods that Argo compresses what it tells of them.
    """
    chosen = {name: value for name, value in inputs.items() if name != "base_model"}
    chosen["base_models"] = json.dumps(two_base_models)
    easy = {"epochs": 6.0, "min_gain": 0.0, "alpha": 0.99}
    with gateway.load(rate=8, clients=2) as load:
        result = pipelines.submit("--follow", inputs={**chosen, **easy, "index_corpus": "dataset", "index_workers": 2})
    assert result.returncode == 0, result.stderr
    figures["a run that chooses, with an index"] = [*result.stderr.splitlines()[-40:], f"meanwhile: {load.summary()}"]
    assert load.failures == []
    yield Indexed(json.loads(result.stdout), result.stderr, registry.champion().version)
    ranklift("rollback", "V0", "--namespace", SERVING, "--reason", "the tests of the index are over")


def search(gateway: Gateway, **more: Any) -> dict[str, Any]:
    status, answer = gateway.curl("/search", body={**SEARCH, **more})
    assert status == 200, answer
    return answer


def variables_of(kubectl: Kubectl) -> dict[str, Any]:
    found = kubectl.json("get", "inferenceservice", "-n", SERVING, NAME)
    return {item["name"]: item.get("value") for item in found["spec"]["predictor"]["containers"][0]["env"]}


class TestARunWithACorpus:
    def test_submit_measures_each_base_model_and_trains_the_chosen_one(self, indexed: Indexed):
        for stage in ("measure 1", "measure 2", "choose", "train"):
            assert f"  {stage} done" in indexed.told

    def test_submit_gives_the_decision_and_where_the_time_of_every_stage_went(self, indexed: Indexed):
        assert indexed.document["decision"]["verdict"] == "promote"
        assert all(stage["work"] is not None for stage in indexed.document["stages"] if stage["status"] == "SUCCEEDED")

    def test_submit_embeds_the_corpus_in_several_pods(self, indexed: Indexed):
        for stage in ("plan index", "embed shards 1", "embed shards 2", "index"):
            assert f"  {stage} done" in indexed.told

    def test_submit_promotes_model_and_index_in_one_entry_of_the_history(self, indexed: Indexed, registry: Registry):
        champion = registry.champion()
        assert (champion.version, champion.index) == (indexed.version, "V0")
        assert registry.manifest("index", "V0").lineage.model_digest == champion.digest


class TestTheInferenceService:
    def test_it_names_model_and_index_side_by_side(self, indexed: Indexed, kubectl: Kubectl):
        predictor = kubectl.json("get", "inferenceservice", "-n", SERVING, NAME)["spec"]["predictor"]
        assert [item["uri"] for item in predictor["storageUris"]] == [
            f"s3://{NAME}/models/{indexed.version}/", f"s3://{NAME}/indexes/V0/",
        ]  # fmt: skip
        assert "STORAGE_URI" not in variables_of(kubectl)

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_search_through_the_gateway_names_both_versions(self, indexed: Indexed, gateway: Gateway, scheme):
        status, answer = gateway.curl("/search", body=SEARCH, scheme=scheme)
        assert status == 200, answer
        assert (answer["model_version"], answer["index_version"]) == (indexed.version, "V0")
        assert len(answer["hits"]) == 3
        assert all(hit["text"] for hit in answer["hits"])

    def test_find_similar_is_answered_by_the_same_version(self, indexed: Indexed, gateway: Gateway):
        _, answer = gateway.curl("/find_similar", body=QUESTION)
        assert answer["model_version"] == indexed.version


class TestAnotherCorpus:
    @pytest.fixture(scope="class")
    @staticmethod
    def reindexed(indexed: Indexed, gateway: Gateway, tmp_path_factory):
        texts = {f"n{number}": f"array matrix number {number}" for number in range(40)}
        corpus = write_corpus(tmp_path_factory.mktemp("corpus") / "corpus.jsonl", texts)
        with gateway.load(rate=8, clients=2) as load:
            result = ranklift("reindex", "--corpus", str(corpus), "--namespace", SERVING, "--json")
        assert result.returncode == 0, result.stderr
        figures["reindex on a cluster"] = [f"meanwhile: {load.summary()}"]
        assert load.failures == []
        return texts

    def test_reindex_serves_the_new_corpus_with_the_same_model(self, reindexed, indexed, gateway: Gateway):
        answer = search(gateway)
        assert (answer["model_version"], answer["index_version"]) == (indexed.version, "V1")
        assert {hit["text"] for hit in answer["hits"]} <= set(reindexed.values())

    def test_rollback_takes_the_previous_index_first_and_then_the_previous_model(
        self, reindexed, indexed, gateway: Gateway, registry: Registry, kubectl: Kubectl
    ):
        assert ranklift("rollback", "--namespace", SERVING).returncode == 0
        until(lambda: search(gateway)["index_version"] == "V0", 60, "the previous index")
        assert ranklift("rollback", "V0", "--namespace", SERVING).returncode == 0
        until(lambda: gateway.version() == "V0", 60, "the previous model")
        champion = registry.champion()
        assert (champion.version, champion.index) == ("V0", None)
        assert variables_of(kubectl)["STORAGE_URI"] == f"s3://{NAME}/models/V0/"
        status, answer = gateway.curl("/search", body=SEARCH)
        assert status == 404, answer
