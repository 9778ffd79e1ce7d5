"""Indexes in the registry: named with their model in one write, moved with it, kept and verified like it."""

import hashlib
import json
from datetime import timedelta

import numpy as np
import pytest

from components.errors import StoreError
from components.model.served import EncoderConfig
from components.registry.champion import CHAMPION, Champion
from components.registry.prune import prune
from components.registry.registry import Lineage
from components.registry.verify import verify
from tests.factories.index_versions import make_index
from tests.factories.model_versions import make_model


@pytest.fixture
def publish(registry, tmp_path):
    """Publish model V0, V1, … with an index each; returns the index's version."""

    def publish(content, model=None):
        directory = make_model(tmp_path / content, content)
        registry.publish_model(directory, None, Lineage())
        digest = EncoderConfig.of(directory).digest
        index = tmp_path / f"index-{content}"
        make_index(index, np.eye(4, dtype=np.float32), ["a", "b", "c", "d"], model=digest)
        plan = hashlib.sha256(content.encode()).hexdigest()
        return registry.publish_index(index, plan, Lineage(model_digest=model or digest))

    return publish


def named(champion):
    return [(entry.version, entry.index, entry.action) for entry in champion.history]


def test_model_and_index_become_champion_in_one_write(registry, publish):
    index = publish("a")
    writes = registry.store.stat(CHAMPION)
    assert writes is None
    champion = registry.move_champion("V0", None, index=index.name)
    assert (champion.version, champion.index) == ("V0", "V0")
    assert champion.current.index_manifest_sha256 == index.manifest_sha256
    assert registry.champion().history == champion.history


def test_champion_takes_the_index_that_it_had_last_wherever_it_moves(registry, publish):
    for content in "ab":
        publish(content)
    champion = registry.move_champion("V0", None, index="V0")
    champion = registry.move_champion("V0", champion, action="serve")
    champion = registry.move_champion("V1", champion, index="V1")
    champion = registry.move_champion("V0", champion, action="rollback")
    champion = registry.move_champion("V1", champion, action="deploy")
    assert named(champion) == [
        ("V0", "V0", "promote"), ("V0", "V0", "serve"), ("V1", "V1", "promote"), ("V0", "V0", "rollback"),
        ("V1", "V1", "deploy"),
    ]  # fmt: skip


def test_model_without_an_index_never_takes_that_of_another(registry, publish):
    publish("a")
    publish("b")
    champion = registry.move_champion("V0", None, index="V0")
    champion = registry.move_champion("V1", champion)
    assert champion.index is None
    assert "index" not in json.loads(champion.stored())["history"][1] or champion.current.index is None


def test_index_of_another_model_is_not_named_with_a_model(registry, publish):
    publish("a")
    publish("b")
    with pytest.raises(StoreError, match=r"index V1 was made with model .*, and V0 is .*do not belong together"):
        registry.move_champion("V0", None, index="V1")
    assert registry.champion() is None


def test_index_that_is_not_there_is_not_named(registry, publish):
    publish("a")
    with pytest.raises(StoreError, match="There is no index V7 in the registry; it has V0"):
        registry.move_champion("V0", None, index="V7")


def test_champion_record_of_before_there_were_indexes_is_read(registry, publish):
    publish("a")
    registry.move_champion("V0", None)
    document = json.loads(registry.store.get(CHAMPION).content)
    for entry in document["history"]:
        del entry["index"], entry["index_manifest_sha256"]
    champion = Champion.stored_as(json.dumps(document).encode(), "", "champion.json")
    assert (champion.version, champion.index) == ("V0", None)
    assert champion.head == registry.champion().head  # hashes of old entries stay what they were


def test_manifests_of_models_have_no_field_that_a_predictor_of_before_refuses(registry, publish):
    publish("a")
    document = json.loads(registry.store.get("models/V0/version.json").content)
    assert "claim" not in document
    assert not {"model_version", "model_digest"} & document["lineage"].keys()


def test_same_plan_gets_its_number_back_and_another_plan_the_next(registry, publish):
    assert publish("a").name == "V0"
    assert registry.claim_index(hashlib.sha256(b"a").hexdigest()) == "V0"
    assert registry.claim_index(hashlib.sha256(b"b").hexdigest()) == "V1"
    assert publish("b").name == "V1"


def test_index_is_downloaded_whole_and_checked(registry, publish, tmp_path):
    index = publish("a")
    registry.download("index", "V0", tmp_path / "copy", index.manifest_sha256)
    assert (tmp_path / "copy" / "index.json").read_bytes() == (tmp_path / "index-a" / "index.json").read_bytes()
    registry.store.put("indexes/V0/shards/00000.safetensors", b"cut")
    with pytest.raises(StoreError, match=r"00000\.safetensors"):
        registry.download("index", "V0", tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    ("key", "fault"),
    [("indexes/V0/shards/00000.safetensors", "damaged"), ("indexes/V0/version.json", "history")],
    ids=["shard", "manifest"],
)
def test_verify_finds_a_changed_index(registry, publish, key, fault):
    publish("a")
    registry.move_champion("V0", None, index="V0")
    assert verify(registry).findings == []
    content = registry.store.get(key).content
    registry.store.put(key, content.replace(b'"source": null', b'"source": "x"') if "json" in key else content[:-1])
    assert [(finding.fault, finding.key) for finding in verify(registry).findings] == [(fault, key)]


def test_prune_keeps_the_index_of_every_model_that_stays(registry, publish):
    champion = None
    for number, content in enumerate("abcd"):
        publish(content)
        champion = registry.move_champion(f"V{number}", champion, index=f"V{number}")
    publish("e")  # never champion
    report = prune(registry, keep=1)
    assert report.removed == ["models/V0", "models/V1", "indexes/V0", "indexes/V1"]
    assert report.kept["indexes/V3"] == "V3 is searched with it"
    assert report.kept["indexes/V2"] == "V2 is searched with it"
    assert registry.move_champion("V2", champion, action="rollback").index == "V2"
    assert verify(registry).findings == []


def test_prune_while_another_index_of_the_champion_is_deployed_keeps_the_previous_one(registry, publish):
    publish("a")
    champion = registry.move_champion("V0", registry.move_champion("V0", None, index="V0"), action="serve")
    publish("b", model=champion.digest)
    champion = registry.move_champion("V0", champion, action="index", index="V1")
    assert prune(registry, keep=0).kept["indexes/V0"] == "it was seen to serve last"
    assert registry.has("index", "V0")
    champion = registry.move_champion("V0", champion, action="serve")
    assert prune(registry, keep=0).removed == ["indexes/V0"]
    assert (registry.champion().index, verify(registry).findings) == ("V1", [])


@pytest.mark.parametrize("before", [None, "V0"])
def test_restore_names_the_previous_index_or_none(registry, publish, before):
    publish("a")
    champion = registry.move_champion("V0", None, index=before)
    publish("b", model=champion.digest)
    champion = registry.move_champion("V0", champion, action="index", index="V1")
    assert (champion.in_service, champion.before_index.index) == (None, before)
    champion = registry.move_champion("V0", champion, action="restore", index=champion.before_index.index)
    assert (champion.index, champion.index_of("V0"), champion.before_index) == (before, before, None)
    assert registry.move_champion("V0", champion, action="serve").index == before


def test_prune_removes_an_index_that_was_begun_and_never_finished(registry):
    registry.claim_index("a" * 64)
    registry.store.put("indexes/V0/shards/00000.safetensors", b"a shard")
    assert [finding.fault for finding in verify(registry).findings] == ["unfinished"]
    assert prune(registry, keep=5).unfinished == []
    assert prune(registry, keep=5, older_than=timedelta(0)).unfinished == ["indexes/V0"]
    assert verify(registry).findings == []
