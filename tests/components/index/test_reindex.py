"""Another corpus for the champion: its model stays, and model and new index are one write, or nothing changes."""

import shutil

import pytest

from components.deploy.champion import deploy_moved
from components.deploy.machine.deploy import deploy_local
from components.deploy.machine.folder import index_of
from components.deploy.outcome import NotDeployedError
from components.deploy.rollback import rollback
from components.deploy.settings import ServingSettings
from components.errors import StoreError
from components.index import stage
from components.index.options import IndexOptions
from components.index.reindex import reindex
from components.model.served import EncoderConfig
from components.promote.promote import promote
from components.registry.registry import Lineage
from components.registry.verify import verify
from components.search.reader import open_index
from tests.components.index.conftest import texts_of, write_corpus
from tests.factories.decisions import make_decision
from tests.factories.model_versions import make_judged_dataset, make_model
from tests.standins.json_server import JsonHandler, JsonServer

SMALL = IndexOptions(shard_size=16, graph_shards=2, exact_up_to=0)
MACHINE = ServingSettings(serving="machine")


class PredictorWithoutIndex(JsonHandler):
    """A predictor that answers queries, and no search."""

    digest = ""

    def answer(self, body):
        if self.path == "/search":
            self.send(404, {"error": "no index"})
        else:
            self.send(200, {"index": 0, "score": 0.5, "model_version": "V0", "model_digest": self.digest})


def passages(path, changed=""):
    return write_corpus(path, texts_of(60) | ({"p0005": changed} if changed else {}))


@pytest.fixture
def champion(registry, exported_tiny_model, tmp_path):
    """V0, in service on this machine, without an index; its dataset is V0."""
    digest = EncoderConfig.of(exported_tiny_model).digest
    kept = registry.publish_dataset(make_judged_dataset(tmp_path / "judged"))
    decision = make_decision(candidate_digest=digest)
    promote(exported_tiny_model, decision, registry, Lineage(dataset_version=kept.name, parent="V9"))
    deploy_local("V0", registry, tmp_path / "home")
    return registry.move_champion("V0", registry.champion(), action="serve")


@pytest.fixture
def again(registry, champion, tmp_path):
    """Make an index of the champion, and say what the champion is then."""

    def again(corpus, options=SMALL, **given):
        return reindex(registry, str(corpus), options, home=tmp_path / "home", **given)

    return again


def moves(registry):
    return [(entry.version, entry.index, entry.action) for entry in registry.champion().history]


def test_reindex_gives_the_champion_one_index_after_another(registry, again, tmp_path):
    assert again(passages(tmp_path / "first.jsonl"), reason="The first corpus.").index == "V0"
    assert again(passages(tmp_path / "second.jsonl", "changed")).index == "V1"
    assert moves(registry)[2:] == [("V0", "V0", "index"), ("V0", "V1", "index")]
    assert [entry.reason for entry in registry.champion().history[2:]] == [
        "The first corpus.", "It is searched with index V1.",
    ]  # fmt: skip
    registry.download("index", "V1", tmp_path / "copy")
    manifest = open_index(tmp_path / "copy", verify=True).manifest
    assert (manifest.build.embedded, manifest.build.copied, manifest.model.version) == (1, 59, "V0")
    assert manifest.verification.queries == 3, "those of the dataset that the model was trained on"
    assert verify(registry).findings == []


def test_reindex_of_the_models_own_corpus_is_held_against_the_value_that_the_gate_saw(registry, again, tmp_path):
    judged = registry.manifest("model", "V0").decision.candidate
    options = SMALL.model_copy(update={"max_ndcg_drop": 1.0})
    registry.download("index", again("dataset", options).index, tmp_path / "copy")
    assert open_index(tmp_path / "copy").manifest.verification.ndcg_exact == judged


def test_reindex_with_a_dataset_verifies_with_its_queries(registry, again, dataset, tmp_path):
    registry.download("index", again("dataset", dataset=dataset).index, tmp_path / "copy")
    verification = open_index(tmp_path / "copy").manifest.verification
    assert verification.ndcg_exact != registry.manifest("model", "V0").decision.candidate


def test_reindex_done_again_changes_nothing(registry, again, tmp_path):
    corpus = passages(tmp_path / "corpus.jsonl")
    assert again(corpus).history == again(corpus).history
    assert [manifest.version for manifest in registry.list_versions("index")] == ["V0"]


def test_reindex_that_finds_too_little_leaves_the_pair(registry, again, tmp_path, monkeypatch):
    again(passages(tmp_path / "first.jsonl"))
    whole = stage.build_graph
    monkeypatch.setattr(stage, "build_graph", lambda shards, *rest: whole(shards[:1], *rest[:-1]))
    with pytest.raises(StoreError, match=r"V0 with index V0 stays champion: recall@10 of the index is .* below the"):
        again(passages(tmp_path / "second.jsonl", "changed"))
    assert moves(registry)[2:] == [("V0", "V0", "index")]
    assert [manifest.version for manifest in registry.list_versions("index")] == ["V0"]


def test_reindex_while_another_run_moves_the_champion_leaves_what_that_made(registry, again, tmp_path, monkeypatch):
    again(passages(tmp_path / "first.jsonl"))
    publish = registry.publish_index

    def overtaken(*arguments):
        version = publish(*arguments)
        registry.move_champion("V0", registry.champion(), action="rollback")
        return version

    monkeypatch.setattr(registry, "publish_index", overtaken)
    monkeypatch.setattr("components.registry.registry.Registry.publish_index", overtaken)
    with pytest.raises(
        StoreError, match=r"V0 with index V1 did not become champion: another run made V0 with index V0"
    ):
        reindex(registry, str(passages(tmp_path / "second.jsonl", "changed")), SMALL, home=tmp_path / "home")
    assert moves(registry)[-1] == ("V0", "V0", "rollback")


def test_reindex_is_not_misled_by_versions_of_another_registry_on_this_machine(registry, again, tmp_path):
    make_model(tmp_path / "home" / "serving" / "V0", "of another registry")
    (tmp_path / "home" / "serving" / "V0" / "version.json").write_text("{}")
    assert again(passages(tmp_path / "corpus.jsonl")).index == "V0"


def test_reindex_of_a_model_that_was_changed_after_it_became_champion_is_refused(registry, again, tmp_path):
    content = registry.store.get("models/V0/version.json").content
    registry.store.put("models/V0/version.json", content.replace(b'"format"', b' "format"', 1))
    with pytest.raises(StoreError, match="The manifest of model V0 was changed after it became champion"):
        again(passages(tmp_path / "corpus.jsonl"))


def test_reindex_of_a_model_whose_dataset_is_not_known_asks_for_one(registry, exported_tiny_model, tmp_path):
    decision = make_decision(candidate_digest=EncoderConfig.of(exported_tiny_model).digest)
    promote(exported_tiny_model, decision, registry)
    with pytest.raises(StoreError, match="its queries are not known; name one with --data DATASET"):
        reindex(registry, str(passages(tmp_path / "corpus.jsonl")), SMALL, home=tmp_path)


def test_reindex_before_anything_was_promoted_says_so(registry, tmp_path):
    with pytest.raises(StoreError, match="Nothing has been promoted yet, so there is no model to embed with"):
        reindex(registry, "dataset", SMALL, home=tmp_path)


class TestOnThisMachine:
    def test_deploy_moved_serves_the_new_index_and_notes_it(self, registry, again, tmp_path):
        home = tmp_path / "home"
        deploy_moved(again(passages(tmp_path / "first.jsonl")), registry, home, MACHINE)
        assert index_of(home, "V0") == "V0"
        assert moves(registry)[2:] == [("V0", "V0", "index"), ("V0", "V0", "serve")]

    @pytest.mark.parametrize("before", ["with an index", "without"])
    def test_deploy_moved_whose_search_is_not_answered_goes_back_to_the_previous_index(
        self, registry, again, tmp_path, before, monkeypatch
    ):
        home = tmp_path / "home"
        if before == "with an index":
            deploy_moved(again(passages(tmp_path / "first.jsonl")), registry, home, MACHINE)
        was = registry.champion().index
        moved = again(passages(tmp_path / "second.jsonl", "changed"))
        with JsonServer(PredictorWithoutIndex).running() as url:
            PredictorWithoutIndex.digest = moved.digest
            monkeypatch.setenv("RANKLIFT_SERVING_URL", url)
            back = "no index" if was is None else f"index {was}"
            with pytest.raises(
                NotDeployedError, match=rf"V0 serves again\. It is searched with {back} again, as before"
            ):
                deploy_moved(moved, registry, home, MACHINE)
        assert index_of(home, "V0") == was
        assert moves(registry)[-2:] == [("V0", moved.index, "index"), ("V0", was, "restore")]
        monkeypatch.delenv("RANKLIFT_SERVING_URL")
        again(passages(tmp_path / "second.jsonl", "changed"))
        deploy_moved(registry.champion(), registry, home, MACHINE)
        assert index_of(home, "V0") == moved.index

    def test_rollback_takes_the_index_that_the_model_had_last(self, registry, again, exported_tiny_model, tmp_path):
        again(passages(tmp_path / "first.jsonl"))
        again(passages(tmp_path / "second.jsonl", "changed"))
        other = shutil.copytree(exported_tiny_model, tmp_path / "other")
        EncoderConfig.of(other).model_copy(update={"max_seq_length": 16}).write(other / "encoder.json")
        against = registry.champion().digest
        digest = EncoderConfig.of(other).digest
        promote(other, make_decision(candidate_digest=digest, champion_digest=against), registry)
        assert rollback(registry, None, settings=MACHINE).index == "V1"


def test_rollback_after_reindex_goes_back_to_the_previous_index_and_serves_it(registry, again, tmp_path):
    home = tmp_path / "home"
    for number, changed in enumerate(("", "changed", "changed again")):
        deploy_moved(again(passages(tmp_path / f"{number}.jsonl", changed)), registry, home, MACHINE)
    assert rollback(registry, home).current.pair == "V0 with index V1"
    assert index_of(home, "V0") == "V1"
    assert rollback(registry, home, reason="Two were wrong.").index == "V0"
    assert rollback(registry, home).index is None
    with pytest.raises(StoreError, match="V0 has no previous champion in the registry to roll back to"):
        rollback(registry, home)
    assert [entry.reason for entry in registry.champion().history if entry.moves][-3:] == [
        "Rolled back from index V2.", "Two were wrong.", "Rolled back from index V0.",
    ]  # fmt: skip
