"""promote: only what was judged, only against today's champion, and the same way however often it is tried."""

import pytest

from components.champion.champion import fetch_champion
from components.errors import RankliftError, StoreError
from components.hold.hold import hold
from components.model.served import EncoderConfig
from components.promote.promote import lineage_of, promote
from tests.factories.decisions import make_decision
from tests.factories.model_versions import make_dataset, make_model


@pytest.fixture
def candidate(tmp_path):
    return make_model(tmp_path / "candidate", "a")


def decision_for(model, **changed):
    return make_decision(candidate_digest=EncoderConfig.of(model).digest, **changed)


def test_the_candidate_becomes_a_version_and_the_champion(registry, candidate, tmp_path):
    decision = decision_for(candidate)
    lineage = lineage_of(candidate, make_dataset(tmp_path / "data"), "V2", "run-7")
    assert promote(candidate, decision, registry, lineage) == "V0"
    champion = registry.champion()
    assert (champion.version, champion.digest) == ("V0", decision.candidate_digest)
    assert (champion.current.reason, champion.current.pipeline_run) == (decision.reason, "run-7")
    manifest = registry.manifest("model", "V0")
    assert manifest.decision == decision
    assert (manifest.lineage.dataset_version, manifest.lineage.source) == ("V2", "demo://docstrings")


def test_lineage_of_a_model_with_a_teacher_is_in_the_version_and_its_card(registry, candidate, tmp_path):
    taught = {"teacher": "acme/judge", "teacher_digest": "d" * 64}
    lineage = lineage_of(candidate, make_dataset(tmp_path / "data"), "V2", "run-7", **taught)
    promote(candidate, decision_for(candidate), registry, lineage)
    manifest = registry.manifest("model", "V0")
    assert (manifest.lineage.teacher, manifest.lineage.teacher_digest) == ("acme/judge", "d" * 64)
    assert f"- teacher: `acme/judge`\n- teacher digest: `{'d' * 64}`\n" in manifest.card


def test_lineage_of_a_model_without_a_teacher_is_written_as_earlier_releases_read_it(candidate, tmp_path):
    written = lineage_of(candidate, make_dataset(tmp_path / "data"), "V2", "run-7").model_dump()
    assert not [name for name in written if name.startswith("teacher")]


def test_promoting_again_changes_nothing(registry, candidate):
    decision = decision_for(candidate)
    assert [promote(candidate, decision, registry) for _ in range(3)] == ["V0", "V0", "V0"]
    assert len(registry.champion().history) == 1


def test_the_next_champion_names_its_parent(registry, candidate, tmp_path):
    promote(candidate, decision_for(candidate), registry)
    better = make_model(tmp_path / "better", "b")
    against = registry.champion().digest
    assert promote(better, decision_for(better, champion_digest=against), registry) == "V1"
    assert registry.manifest("model", "V1").lineage.parent == "V0"


def test_a_decision_to_hold_promotes_nothing(registry, candidate):
    with pytest.raises(StoreError, match="the decision is 'hold'"):
        promote(candidate, decision_for(candidate, verdict="hold"), registry)
    assert registry.champion() is None
    assert registry.list_versions("model") == []


def test_a_decision_about_another_model_promotes_nothing(registry, candidate):
    with pytest.raises(StoreError, match="the decision is about cccc"):
        promote(candidate, make_decision(), registry)
    assert registry.list_versions("model") == []


def test_who_was_judged_against_a_former_champion_is_not_promoted(registry, candidate, tmp_path):
    promote(candidate, decision_for(candidate), registry)
    late = make_model(tmp_path / "late", "b")
    with pytest.raises(StoreError, match=r"V1 is stored .* judged against base .*and V0 .* is champion since"):
        promote(late, decision_for(late, champion_digest="b" * 64), registry)
    assert registry.champion().version == "V0"


def test_a_model_whose_files_changed_after_export_is_refused(registry, candidate):
    decision = decision_for(candidate)
    (candidate / "encoder.bin").write_text("swapped")
    with pytest.raises(RankliftError, match="is not the file in encoder"):
        promote(candidate, decision, registry)


def test_a_model_with_an_empty_file_is_refused_as_kserve_would_not_fetch_it(registry, candidate):
    decision = decision_for(candidate)
    (candidate / "merges.txt").touch()
    with pytest.raises(RankliftError, match=r"merges\.txt is empty, and KServe does not fetch files of zero bytes"):
        promote(candidate, decision, registry)
    assert registry.champion() is None


def test_the_champion_is_fetched_whole(registry, candidate, tmp_path):
    assert fetch_champion(registry, tmp_path / "none") is None
    assert not (tmp_path / "none").exists()
    promote(candidate, decision_for(candidate), registry)
    assert fetch_champion(registry, tmp_path / "today") == "V0"
    assert EncoderConfig.of(tmp_path / "today").digest == EncoderConfig.of(candidate).digest


def test_hold_says_in_one_sentence_that_the_champion_stays(candidate):
    sentence = hold(decision_for(candidate, verdict="hold", reason="Held: the gain is below the minimum."))
    assert sentence == "Held: the gain is below the minimum. base remains champion."
