"""The whole walk through the compiled YAML, in processes, against a real S3 server: both branches of the gate."""

import re

import pytest

from components.dataset.manifest import DatasetManifest
from components.object_store.client import ObjectStore
from components.registry.registry import Registry
from pipeline.local.ask import ask_champion
from pipeline.local.run import run_locally
from tests.factories.datasets import write_triplets
from tests.factories.models import make_tiny_cross_encoder, make_tiny_generator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def walks(tiny_model, object_store, tmp_path_factory):
    """Three runs on one registry: a real gain, the same candidate again, and a gain that is asked for too much."""
    folder = tmp_path_factory.mktemp("walk")
    data = write_triplets(folder / "triplets.csv", 600)
    parameters = {
        "data": str(data), "base_model": str(tiny_model), "evaluation_queries": 100.0, "epochs": 2.0,
        "batch_size": 16, "learning_rate": 2e-3, "generated_queries": 20,
        "query_generator": str(make_tiny_generator(folder / "generator")),
        "teacher": str(make_tiny_cross_encoder(folder / "teacher")),
    }  # fmt: skip
    settings = object_store.model_copy(update={"bucket": "walk"})
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.environment().items():
            environment.setenv(name, value)
        lines: list[str] = []
        first = run_locally(parameters, folder / "home", lines.append)
        again = run_locally(parameters, folder / "home", lines.append)
    return folder / "home", Registry(ObjectStore(settings)), first, again, lines


def test_a_real_gain_is_promoted_and_deployed(walks):
    _, registry, first, _, _ = walks
    assert first.decision.verdict == "promote"
    assert first.decision.delta >= first.decision.min_gain
    assert first.decision.p_value < first.decision.alpha
    assert "the base model" in first.decision.champion_model
    assert {stage.stage for stage in first.stages} == {
        "source", "prepare", "train", "export", "evaluate", "champion", "evaluate-2", "gate", "promote", "deploy",
    }  # fmt: skip
    assert registry.champion().version == "V0"


def test_the_same_candidate_meets_itself_and_is_held(walks):
    _, registry, _, again, _ = walks
    assert again.decision.verdict == "hold"
    assert "the champion itself" in again.decision.reason
    assert [stage.stage for stage in again.stages][-1] == "hold"
    assert [manifest.version for manifest in registry.list_versions("model")] == ["V0"]
    assert [manifest.version for manifest in registry.list_versions("dataset")] == ["V0"]


def test_the_version_names_its_teacher_and_its_dataset_the_generator(walks):
    home, registry, first, _, _ = walks
    lineage = registry.manifest("model", "V0").lineage
    assert lineage.teacher == str(home.parent / "teacher")
    assert re.fullmatch("[0-9a-f]{64}", lineage.teacher_digest)
    generated = DatasetManifest.of(first.dataset).generated
    assert generated["generator"] == str(home.parent / "generator")
    assert 0 < generated["kept"] <= 20


def test_what_was_promoted_answers_a_query(walks):
    home, _, first, _, _ = walks
    asked = ask_champion(home, first.dataset, first.champion_scores)
    assert asked is not None
    best = asked.answer["index"]
    assert best == len(asked.request["documents"]) - 1, "the passage that answers the query comes last"
    assert asked.request["documents"][best] == asked.answer["document"]
    assert [entry["score"] for entry in asked.answer["ranking"]] == sorted(
        (entry["score"] for entry in asked.answer["ranking"]), reverse=True
    )


def test_progress_names_every_stage_as_it_starts_and_ends(walks):
    *_, lines = walks
    told = "\n".join(lines)
    assert "  train …" in told
    assert "  gate done in" in told
