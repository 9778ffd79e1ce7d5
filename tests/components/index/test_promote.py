"""index as a stage: model and index become champion together, or the previous champion stays."""

import shutil
from datetime import timedelta

import pytest

from components.deploy.machine.deploy import deploy_local
from components.deploy.machine.folder import current_link, index_of
from components.deploy.rollback import rollback
from components.errors import StoreError
from components.index import stage
from components.index.options import IndexOptions
from components.index.promote import index_and_promote
from components.index.stage import Given
from components.model.served import EncoderConfig, index_beside
from components.promote.promote import promote
from components.registry.prune import prune
from components.registry.verify import verify
from components.search.reader import open_index
from tests.components.index.conftest import texts_of, write_corpus
from tests.factories.decisions import make_decision

SMALL = IndexOptions(shard_size=16, graph_shards=2, exact_up_to=0)


@pytest.fixture
def models(exported_tiny_model, tmp_path):
    """Two models that differ in how many tokens they read."""
    found = []
    for number, length in enumerate((32, 16)):
        model = shutil.copytree(exported_tiny_model, tmp_path / f"model-{number}")
        EncoderConfig.of(model).model_copy(update={"max_seq_length": length}).write(model / "encoder.json")
        found.append(model)
    return found


@pytest.fixture
def run(registry, dataset, tmp_path):
    """promote and index, as the pipeline runs them; returns model and index version."""

    def run(model, corpus, options=SMALL, **changed):
        champion = registry.champion()
        against = champion.digest if champion else "b" * 64
        digests = {"candidate_digest": EncoderConfig.of(model).digest, "champion_digest": against}
        decision = make_decision(**(digests | changed))
        version = promote(model, decision, registry, awaits_index=True)
        given = Given(model, str(corpus), dataset, model_version=version)
        return version, index_and_promote(given, decision, registry, options, home=tmp_path / "home")

    return run


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus.jsonl", texts_of(100))


def test_promote_that_awaits_its_index_leaves_the_champion(registry, models):
    digest = EncoderConfig.of(models[0]).digest
    assert promote(models[0], make_decision(candidate_digest=digest), registry, awaits_index=True) == "V0"
    assert registry.champion() is None
    assert registry.has("model", "V0")


def test_model_and_index_become_champion_and_are_rolled_back_together(registry, models, run, corpus, tmp_path):
    home = tmp_path / "home"
    assert run(models[0], corpus) == ("V0", "V0")
    deploy_local("V0", registry, home)
    assert run(models[1], corpus) == ("V1", "V1")
    assert [(entry.version, entry.index) for entry in registry.champion().history] == [("V0", "V0"), ("V1", "V1")]
    deploy_local("V1", registry, home)
    assert index_beside(current_link(home)).name == "V1"
    assert rollback(registry, home).index == "V0"
    served = index_beside(current_link(home))
    assert (index_of(home, "V0"), served.name) == ("V0", "V0")
    open_index(served, EncoderConfig.of(models[0]).digest, verify=True)
    assert verify(registry).findings == []


def test_same_run_again_changes_nothing(registry, models, run, corpus):
    assert run(models[0], corpus) == run(models[0], corpus, champion_digest="b" * 64) == ("V0", "V0")
    assert len(registry.champion().history) == 1
    assert [manifest.version for manifest in registry.list_versions("index")] == ["V0"]


def test_new_corpus_of_the_same_model_is_copied_where_it_is_unchanged(registry, models, run, corpus, tmp_path):
    run(models[0], corpus)
    passages = texts_of(100) | {"p0050": "a text that was not there before"}
    assert run(models[0], write_corpus(tmp_path / "new.jsonl", passages)) == ("V0", "V1")
    assert [(entry.index, entry.action) for entry in registry.champion().history] == [
        ("V0", "promote"),
        ("V1", "index"),
    ]
    registry.download("index", "V1", tmp_path / "copy")
    build = open_index(tmp_path / "copy").manifest.build
    assert (build.embedded, build.copied) == (1, 99)


def test_index_that_finds_too_little_holds_the_promotion(registry, models, run, corpus, monkeypatch):
    run(models[0], corpus)
    whole = stage.build_graph
    monkeypatch.setattr(stage, "build_graph", lambda shards, *rest: whole(shards[:1], *rest))
    with pytest.raises(StoreError, match=r"V1 was not made champion: recall@10 of the index is .* below the bound of"):
        run(models[1], corpus)
    assert (registry.champion().version, registry.champion().index) == ("V0", "V0")
    assert [manifest.version for manifest in registry.list_versions("index")] == ["V0"]
    monkeypatch.undo()
    assert run(models[1], corpus) == ("V1", "V1")


def test_model_that_was_judged_against_a_former_champion_is_not_indexed(registry, models, run, corpus, capfd):
    run(models[0], corpus)
    capfd.readouterr()
    with pytest.raises(StoreError, match="V1 is stored and did not become champion: it was judged against"):
        run(models[1], corpus, champion_digest="c" * 64)
    assert "embedded" not in capfd.readouterr().err


def test_deploy_whose_index_is_damaged_leaves_the_old_one_in_service(registry, models, run, corpus, tmp_path):
    home = tmp_path / "home"
    run(models[0], corpus)
    deploy_local("V0", registry, home)
    run(models[1], corpus)
    registry.store.put("indexes/V1/shards/00000.safetensors", b"cut")
    with pytest.raises(StoreError, match=r"00000\.safetensors"):
        deploy_local("V1", registry, home)
    assert current_link(home).readlink().name == "V0"
    assert index_of(home, "V1") is None


def test_index_left_by_a_killed_run_is_removed_by_prune_alone(registry, models, run, corpus):
    run(models[0], corpus)
    registry.claim_index("a" * 64)
    registry.store.put("indexes/V1/shards/00000.safetensors", b"a shard")
    assert prune(registry, keep=5, older_than=timedelta(0)).unfinished == ["indexes/V1"]
    assert registry.champion().index == "V0"


def test_shard_that_was_changed_while_the_index_was_unfinished_is_refused(registry, models, run, corpus, monkeypatch):
    monkeypatch.setattr(stage, "build_graph", _stopped)
    with pytest.raises(KeyboardInterrupt):
        run(models[0], corpus)
    registry.store.put("indexes/V0/shards/00001.safetensors", b"cut")
    monkeypatch.undo()
    with pytest.raises(StoreError, match=r"shards/00001\.safetensors of the unfinished index is not what was kept"):
        run(models[0], corpus)
    assert registry.champion() is None


def _stopped(*arguments):
    raise KeyboardInterrupt
