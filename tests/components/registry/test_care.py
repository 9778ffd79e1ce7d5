"""verify finds every change, prune removes only what nobody needs, rollback and diff say what they did."""

import json
from datetime import timedelta

import pytest
from huggingface_hub import ModelCard

from components.errors import StoreError
from components.model.served import EncoderConfig
from components.object_store.client import ObjectStore
from components.promote.promote import promote
from components.registry.diff import diff_models
from components.registry.hub import push_model
from components.registry.prune import prune
from components.registry.registry import Lineage, Registry
from components.registry.verify import verify
from tests.factories.decisions import make_decision
from tests.factories.model_versions import make_dataset, make_model
from tests.faults.proxy import Fault, Proxy


def make_champions(registry, tmp_path, count):
    """Models that became champion one after the other, and a dataset for every two of them."""
    against = "b" * 64
    for number in range(count):
        if number % 2 == 0:
            registry.publish_dataset(make_dataset(tmp_path / f"data-{number}", str(number)))
        model = make_model(tmp_path / f"model-{number}", str(number))
        digest = EncoderConfig.of(model).digest
        decision = make_decision(candidate_digest=digest, champion_digest=against, candidate=0.5 + number / 100)
        promote(model, decision, registry, Lineage(dataset_version=f"V{number // 2}", base_model="acme/base"))
        against = digest
    return registry


@pytest.fixture
def champions(registry, tmp_path):
    """Models V0 to V5, each of which became champion; datasets V0 to V2."""
    return make_champions(registry, tmp_path, 6)


@pytest.fixture
def few(registry, tmp_path):
    """Models V0 to V2, each of which became champion; datasets V0 and V1."""
    return make_champions(registry, tmp_path, 3)


def versions(registry, kind="model"):
    return [manifest.version for manifest in registry.list_versions(kind)]


class TestVerify:
    def test_a_registry_that_nobody_touched_is_sound(self, few):
        report = verify(few)
        assert (report.sound, report.findings, report.versions) == (True, [], 5)
        assert report.objects > 30

    @pytest.mark.parametrize(
        ("key", "fault"),
        [
            ("models/V2/encoder.bin", "damaged"),
            ("models/V2/encoder.json", "damaged"),
            ("models/V2/version.json", "damaged"),
            ("models/V2/claim.json", "damaged"),
            ("models/V2/README.md", "damaged"),
            ("datasets/V1/train.parquet", "damaged"),
            ("champion.json", "history"),
            ("models/V2/pytorch_model.bin", "foreign"),
            ("models/passwd", "foreign"),
            ("models/V02/version.json", "foreign"),
        ],
    )
    def test_an_object_that_was_overwritten_or_added_is_named(self, few, key, fault):
        few.store.put(key, b"{}")
        report = verify(few)
        assert not report.sound
        assert {finding.fault for finding in report.findings} >= {fault}
        assert any(key in finding.sentence for finding in report.findings)

    @pytest.mark.parametrize("name", ["encoder.bin", "claim.json"])
    def test_an_object_that_was_removed_is_named(self, few, name):
        few.store.delete(f"models/V2/{name}")
        assert [(finding.fault, finding.key) for finding in verify(few).findings] == [("missing", f"models/V2/{name}")]

    def test_a_version_that_was_swapped_whole_is_noticed_by_its_champion_entry(self, few, tmp_path):
        # Whoever may write the bucket can make a version consistent in itself; not with the hash in the history.
        manifest = json.loads(few.store.get("models/V2/version.json").content)
        manifest["lineage"]["source"] = "s3://elsewhere"
        few.store.put("models/V2/version.json", json.dumps(manifest).encode())
        report = verify(few)
        assert [finding.fault for finding in report.findings] == ["history"]
        assert "was changed after it became champion" in report.findings[0].sentence
        champion = few.champion()
        with pytest.raises(StoreError, match="was changed after it became champion"):
            few.download("model", "V2", tmp_path / "fetched", champion.manifest_sha256)


class TestPrune:
    def test_what_is_needed_stays(self, champions):
        report = prune(champions, keep=1, serving=["V1"])
        assert versions(champions) == ["V1", "V4", "V5"]
        assert report.kept["models/V1"] == "it serves"
        assert report.kept["models/V4"] == "it was champion before"
        assert versions(champions, "dataset") == ["V0", "V2"]
        assert report.kept["datasets/V0"] == "V1 was trained on it"
        assert report.removed == ["models/V0", "models/V2", "models/V3", "datasets/V1"]
        assert report.bytes > 0
        assert verify(champions).findings == []
        assert [entry.version for entry in champions.champion().history] == [f"V{number}" for number in range(6)]

    def test_the_champion_stays_even_when_nothing_is_to_be_kept(self, champions):
        prune(champions, keep=0)
        assert versions(champions) == ["V4", "V5"]

    def test_a_removed_number_is_never_used_again(self, champions, tmp_path):
        prune(champions, keep=0)
        again = champions.publish_model(make_model(tmp_path / "again", "0"), None, Lineage())
        assert again.name == "V6"
        with pytest.raises(StoreError, match="no model V0"):
            champions.manifest("model", "V0")

    def test_a_pruned_champion_cannot_come_back_by_itself(self, champions, tmp_path):
        # A tombstone that was put while the champion moved: promoting again makes a new version.
        champions.store.put("models/V5/pruned.json", b"{}")
        model = make_model(tmp_path / "again", "5")
        digest = EncoderConfig.of(model).digest
        assert promote(model, make_decision(candidate_digest=digest), champions) == "V6"
        assert champions.champion().version == "V6"

    @pytest.mark.parametrize("keep", [-1, -100])
    def test_a_negative_number_is_refused(self, champions, keep):
        with pytest.raises(StoreError, match="--keep a number such as 5"):
            prune(champions, keep=keep)

    def test_an_upload_that_was_never_completed_is_garbage(self, champions, tmp_path):
        champions.store.request("POST", "models/V5/extra.bin", query={"uploads": ""})
        assert [finding.fault for finding in verify(champions).findings] == ["unfinished"]
        assert prune(champions, keep=9).unfinished == []
        assert prune(champions, keep=9, older_than=timedelta(0)).unfinished == ["models/V5/extra.bin"]
        assert verify(champions).findings == []


class TestDiff:
    def test_it_lists_what_differs_and_nothing_else(self, few):
        diff = diff_models(few, "V0", "V2")
        assert diff.same_evaluation_set
        assert {difference.name: (difference.left, difference.right) for difference in diff.scores} == {
            "ndcg@10": (pytest.approx(0.5), pytest.approx(0.52))
        }
        data = {difference.name: (difference.left, difference.right) for difference in diff.data}
        assert data["dataset_version"] == ("V0", "V1")
        assert diff.settings == []
        assert [difference.name for difference in diff.files] == ["encoder.bin", "encoder.json", "encoder.xml"]

    def test_a_version_differs_from_itself_in_nothing(self, few):
        diff = diff_models(few, "V1", "V1")
        assert (diff.data, diff.settings, diff.scores, diff.files) == ([], [], [], [])

    def test_settings_that_were_swapped_are_refused(self, few):
        few.store.put("models/V2/encoder.json", b"{}")
        with pytest.raises(StoreError, match=r"models/V2/encoder\.json is not what was published"):
            diff_models(few, "V1", "V2")


class TestCard:
    def test_it_has_the_metadata_that_the_hub_reads(self, few, tmp_path):
        few.download("model", "V2", tmp_path / "V2")
        card = ModelCard.load(tmp_path / "V2" / "README.md")
        assert card.data.library_name == "sentence-transformers"
        assert card.data.base_model == "acme/base"
        result = card.data.eval_results[0]
        assert (result.metric_type, result.metric_value) == ("ndcg_at_10", pytest.approx(0.52))
        assert few.store.get("models/V2/README.md").content == (tmp_path / "V2" / "README.md").read_bytes()
        for fact in ("0.5200", "+0.1000", "Intended use", "SentenceTransformer(", "`V1`"):
            assert fact in card.text

    def test_names_cannot_break_out_of_it(self, registry, tmp_path):
        hostile = 'x"\n---\n# `evil` | [click](javascript:alert(1))'
        decision = make_decision(champion_model=hostile, reason=hostile)
        lineage = Lineage(base_model=hostile, source=hostile, dataset_version=hostile)
        version = registry.publish_model(make_model(tmp_path / "model"), decision, lineage)
        card = registry.manifest("model", version.name).card
        assert "\n# `evil`" not in card
        assert card.count("\n---\n") == 1
        assert ModelCard(card).data.library_name == "sentence-transformers"


@pytest.mark.parametrize("uri", ["acme/model", "hf://", "hf://acme", "hf://a/b/c", "https://huggingface.co/a/b"])
def test_pushing_to_what_is_no_place_on_the_hub_is_one_sentence(registry, uri):
    with pytest.raises(StoreError, match="give one such as hf://"):
        push_model(registry, "V0", uri)


class TestPush:
    def test_the_hub_gets_every_file_the_card_and_nothing_else(self, few, hub, tmp_path):
        url = push_model(few, "V2", "hf://acme/model")

        assert url.startswith(hub.endpoint)
        few.download("model", "V2", tmp_path / "V2")
        files = {path for path in (tmp_path / "V2").rglob("*") if path.is_file()}
        expected = {path.relative_to(tmp_path / "V2").as_posix(): path.read_bytes() for path in files}
        assert hub.committed == expected
        assert ModelCard(hub.committed["README.md"].decode()).data.library_name == "sentence-transformers"
        assert [request["visibility"] for request in hub.created] == ["private"]
        assert "Bearer hf_of_a_test" in hub.tokens

    @pytest.mark.parametrize("status", [401, 403, 500])
    def test_a_hub_that_refuses_is_one_sentence_without_the_token(self, few, hub, status):
        hub.refuse = status
        with pytest.raises(StoreError, match=r"V2 could not be pushed to hf://acme/model \(") as caught:
            push_model(few, "V2", "hf://acme/model")
        assert "\n" not in str(caught.value)
        assert "hf_of_a_test" not in str(caught.value)

    def test_a_hub_that_is_down_is_one_sentence(self, few, hub, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(StoreError, match=r"\(.*refused\); check the name, the network and HF_TOKEN"):
            push_model(few, "V2", "hf://acme/model")


def test_prune_with_keys_that_may_not_delete_leaves_every_version_whole(registry, tmp_path):
    for content in "abc":
        registry.publish_model(make_model(tmp_path / content, content), None, Lineage())
    with Proxy(registry.store.settings.endpoint) as proxy:
        proxy.plan = lambda call: Fault(status=403, code="AccessDenied") if call.method == "DELETE" else None
        settings = registry.store.settings.model_copy(update={"endpoint": proxy.endpoint})
        with pytest.raises(StoreError, match="AccessDenied; give these keys read and write access"):
            prune(Registry(ObjectStore(settings)), keep=1)
    assert [manifest.version for manifest in registry.list_versions("model")] == ["V0", "V1", "V2"]
