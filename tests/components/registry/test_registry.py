"""The registry keeps versions for good, gives each content one number, and has one champion."""

import hashlib
import json

import pytest

from components.errors import RankliftError, StoreError
from components.registry.directory import check_directory
from components.registry.registry import Lineage
from tests.factories.decisions import make_decision
from tests.factories.model_versions import make_dataset, make_model


@pytest.fixture
def publish(registry, tmp_path):
    def publish(content: str):
        directory = make_model(tmp_path / f"model-{content}", content)
        return registry.publish_model(directory, make_decision(), Lineage(dataset_version="V0", base_model="tiny"))

    return publish


def test_numbers_count_up_from_zero_for_each_kind(registry, publish, tmp_path):
    assert [publish(content).name for content in "abc"] == ["V0", "V1", "V2"]
    assert registry.publish_dataset(make_dataset(tmp_path / "data")).name == "V0"
    assert registry.manifest("dataset", "V0").lineage.source == "demo://docstrings"
    assert [manifest.version for manifest in registry.list_versions("model")] == ["V0", "V1", "V2"]


def test_the_same_content_gets_its_number_back(registry, publish, tmp_path):
    first, _, again = publish("a"), publish("b"), publish("a")
    assert again == first
    assert len(registry.list_versions("model")) == 2


def test_a_model_card_is_no_part_of_the_content(registry, publish, tmp_path):
    first = publish("a")
    (tmp_path / "model-a" / "README.md").write_text("written later")
    assert publish("a") == first


def test_the_manifest_lists_every_file_and_says_where_it_came_from(registry, publish, tmp_path):
    version = publish("a")
    manifest = registry.manifest("model", version.name)
    directory = tmp_path / "model-a"
    for name, entry in manifest.files.items():
        content = (directory / name).read_bytes()
        assert (entry.sha256, entry.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert set(manifest.files) >= {"encoder.json", "encoder.xml", "1_Pooling/config.json"}
    assert manifest.lineage.dataset_version == "V0"
    assert manifest.decision.delta == pytest.approx(0.1)


def test_what_is_downloaded_is_what_was_published(registry, publish, tmp_path):
    version = publish("a")
    target = tmp_path / "fetched" / "V0"
    manifest = registry.download("model", version.name, target, version.manifest_sha256)
    for name in manifest.files:
        assert (target / name).read_bytes() == (tmp_path / "model-a" / name).read_bytes()
    assert hashlib.sha256((target / "version.json").read_bytes()).hexdigest() == version.manifest_sha256
    assert registry.publish_model(target, None, Lineage()) == version


def test_a_version_that_lies_there_whole_is_not_fetched_again(registry, publish, tmp_path):
    version = publish("a")
    registry.download("model", version.name, tmp_path / "V0")
    before = (tmp_path / "V0" / "encoder.bin").stat().st_ino
    registry.download("model", version.name, tmp_path / "V0")
    assert (tmp_path / "V0" / "encoder.bin").stat().st_ino == before


def test_a_folder_with_something_else_in_it_is_never_overwritten(registry, publish, tmp_path):
    version = publish("a")
    (tmp_path / "V0").mkdir()
    (tmp_path / "V0" / "precious.txt").write_text("mine")
    with pytest.raises(StoreError, match="is there and is not V0"):
        registry.download("model", version.name, tmp_path / "V0")
    assert (tmp_path / "V0" / "precious.txt").read_text() == "mine"


class TestADirectoryThatSomeoneElseDownloaded:
    @pytest.fixture
    def fetched(self, registry, publish, tmp_path):
        self.version = publish("a")
        registry.download("model", "V0", tmp_path / "V0")
        return tmp_path / "V0"

    def test_it_is_accepted_when_it_is_what_was_promoted(self, fetched):
        assert check_directory(fetched, self.version.manifest_sha256).version == "V0"

    def test_another_manifest_is_refused(self, fetched):
        with pytest.raises(StoreError, match="is not the manifest that became champion"):
            check_directory(fetched, "0" * 64)

    def test_a_damaged_file_is_refused(self, fetched):
        (fetched / "modules.json").write_text("[1]")
        with pytest.raises(StoreError, match=r"modules\.json is damaged"):
            check_directory(fetched)

    def test_a_missing_manifest_is_refused(self, fetched):
        (fetched / "version.json").unlink()
        with pytest.raises(StoreError, match=r"has no version\.json"):
            check_directory(fetched)


@pytest.mark.parametrize("version", ["V7", "V1"])
def test_a_version_that_does_not_exist_is_one_sentence(registry, publish, version):
    publish("a")
    with pytest.raises(StoreError, match=f"no model {version} in the registry; it has V0"):
        registry.manifest("model", version)


@pytest.mark.parametrize("version", ["", "3", "V-1", "V01", "../V1", "V1/..", "V1\n", "V٣"])
def test_what_is_no_version_name_never_becomes_a_key(registry, version):
    with pytest.raises(RankliftError, match="versions are named like"):
        registry.manifest("model", version)


def test_a_damaged_file_is_named_and_nothing_is_left(registry, publish, tmp_path):
    version = publish("a")
    registry.store.put("models/V0/encoder.bin", b"b" * 1000)
    with pytest.raises(StoreError, match=r"models/V0/encoder\.bin .* is damaged"):
        registry.download("model", version.name, tmp_path / "V0")
    assert not (tmp_path / "V0").exists()


def test_a_missing_file_is_named(registry, publish, tmp_path):
    version = publish("a")
    registry.store.delete("models/V0/tokenizer.json")
    with pytest.raises(StoreError, match=r"models/V0/tokenizer\.json"):
        registry.download("model", version.name, tmp_path / "V0")


def test_a_number_without_a_manifest_is_no_version_and_is_never_used_again(registry, publish):
    claim = {"format": 1, "content": "0" * 64}
    registry.store.put_if_absent("models/V0/claim.json", json.dumps(claim).encode())
    assert registry.list_versions("model") == []
    assert publish("a").name == "V1"


def test_an_interrupted_publication_is_carried_on_under_its_number(registry, publish):
    first = publish("a")
    for name in ("version.json", "encoder.bin"):
        registry.store.delete(f"models/{first.name}/{name}")
    assert publish("b").name == "V1"
    assert publish("a").name == "V0"
    registry.store.get("models/V0/encoder.bin")


class TestChampion:
    def test_there_is_none_before_the_first(self, registry):
        assert registry.champion() is None

    def test_it_moves_and_keeps_its_history(self, registry, publish):
        champion = None
        for content in "abc":
            version = publish(content)
            champion = registry.move_champion(version.name, champion, reason=f"because of {content}")
        stored = registry.champion()
        assert stored.version == "V2"
        assert stored.manifest_sha256 == version.manifest_sha256
        assert [(entry.number, entry.version, entry.reason) for entry in stored.history] == [
            (0, "V0", "because of a"),
            (1, "V1", "because of b"),
            (2, "V2", "because of c"),
        ]
        assert stored.history[2].previous == stored.history[1].sha256()

    def test_who_read_an_old_champion_cannot_move_it(self, registry, publish):
        first = registry.move_champion(publish("a").name, None)
        registry.move_champion(publish("b").name, first)
        with pytest.raises(StoreError, match="V2 did not become champion: another run made V1 champion after V0"):
            registry.move_champion(publish("c").name, first)
        with pytest.raises(StoreError, match="after none was read"):
            registry.move_champion("V0", None)
        assert registry.champion().version == "V1"

    def test_only_a_whole_version_can_become_champion(self, registry):
        with pytest.raises(StoreError, match="no model V0"):
            registry.move_champion("V0", None)

    @pytest.mark.parametrize("field", ["version", "reason", "moved", "digest"])
    def test_a_history_that_was_changed_is_noticed(self, registry, publish, field):
        champion = registry.move_champion(publish("a").name, None)
        registry.move_champion(publish("b").name, champion)
        document = json.loads(registry.store.get("champion.json").content)
        document["history"][0][field] = {"version": "V1", "moved": "2020-01-01T00:00:00Z"}.get(field, "changed")
        registry.store.put("champion.json", json.dumps(document).encode())
        with pytest.raises(StoreError, match="does not follow from the one before it"):
            registry.champion()
