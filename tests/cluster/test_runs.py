"""A run on the cluster: submitted, followed, promoted, held, cached, scheduled."""

import json

import pytest

from tests.cluster.conftest import NAME, RUNS, SERVING, Promotion, secret
from tests.cluster.kubectl import Kubectl, until
from tests.cluster.runs import Pipelines

STAGES = ["prepare", "train", "export", "champion", "evaluate candidate", "evaluate champion", "gate"]


def model_versions(registry) -> list[str]:
    return [manifest.version for manifest in registry.list_versions("model")]


class TestTheFirstRun:
    def test_submit_with_a_real_gain_promotes_and_ends_with_status_0(self, promotion: Promotion, registry):
        assert promotion.document["verdict"] == "promote"
        champion = registry.champion()
        assert champion is not None
        assert champion.version == "V0"

    def test_submit_with_follow_tells_every_stage_and_its_seconds(self, promotion: Promotion):
        stages = {stage["stage"]: stage["seconds"] for stage in promotion.document["stages"]}
        assert set(stages) >= {*STAGES, "promote", "deploy"}
        assert all(stages[stage] > 0 for stage in STAGES)
        for stage in STAGES:
            assert f"  {stage} …" in promotion.told
            assert f"  {stage} done" in promotion.told

    def test_submit_with_follow_gives_the_gates_sentence_with_its_figures(self, promotion: Promotion):
        assert "NDCG@10" in promotion.document["reason"]
        assert "p = " in promotion.document["reason"]

    def test_submit_after_the_first_promotion_tells_how_to_put_it_into_service(self, promotion: Promotion):
        apply, wait = promotion.document["next"]
        assert apply == "kubectl apply -f kserve/inference-service.yaml"
        assert wait.startswith(f"kubectl wait -n {SERVING} --for=condition=Ready inferenceservice/{NAME}")


class TestARunThatIsHeld:
    @pytest.fixture(scope="class")
    @staticmethod
    def versions(registry, promotion: Promotion):
        return model_versions(registry)

    @pytest.fixture(scope="class")
    @staticmethod
    def held(pipelines: Pipelines, versions, inputs):
        return pipelines.submit("--follow", inputs={**inputs, "epochs": 1.0, "min_gain": 0.9})

    def test_submit_with_too_little_gain_ends_with_status_1(self, held, versions, registry):
        assert held.returncode == 1, held.stderr
        assert json.loads(held.stdout)["verdict"] == "hold"
        assert model_versions(registry) == versions

    def test_submit_with_other_epochs_takes_the_dataset_from_the_cache_and_trains(self, held):
        assert "  prepare cached" in held.stderr
        assert "  train done" in held.stderr

    def test_submit_without_a_gain_gives_the_gates_sentence(self, held):
        assert "NDCG@10" in json.loads(held.stdout)["reason"]


class TestTheSameRunAgain:
    def test_submit_of_the_very_same_run_takes_all_it_can_from_the_cache_and_is_held(
        self, pipelines: Pipelines, promotion: Promotion, inputs
    ):
        again = pipelines.submit("--follow", inputs=inputs)
        assert again.returncode == 1, again.stderr
        for stage in ("prepare", "train", "export", "evaluate candidate"):
            assert f"  {stage} cached" in again.stderr
        assert "the champion itself" in json.loads(again.stdout)["reason"]


class TestBadInput:
    def test_submit_with_data_that_is_not_there_fails_once_with_the_stages_own_sentence(
        self, pipelines, registry, inputs
    ):
        result = pipelines.submit("--follow", inputs={**inputs, "data": f"s3://{NAME}/raw/nothing.csv"})
        assert result.returncode == 2
        assert "raw/nothing.csv" in result.stderr.splitlines()[-1]
        assert result.stderr.count("prepare failed") <= 1


class TestASchedule:
    def test_submit_with_a_schedule_starts_a_run_by_itself(self, pipelines: Pipelines, promotion: Promotion, inputs):
        result = pipelines.submit("--schedule", "*/20 * * * * *", inputs={**inputs, "min_gain": 0.9})
        assert result.returncode == 0, result.stderr
        recurring = json.loads(result.stdout)["run_id"]

        def started() -> list[str]:
            runs = pipelines.ask("runs?page_size=50&sort_by=created_at%20desc").get("runs", [])
            return [run["run_id"] for run in runs if run.get("recurring_run_id") == recurring]

        try:
            found = until(started, 180, "a run of the schedule")
        finally:
            pipelines.ask(f"recurringruns/{recurring}", method="DELETE")
        for run in found:
            pipelines.stop(run)


class TestASecret:
    def test_submit_puts_no_key_into_a_workflow_or_a_pods_definition(self, kubectl: Kubectl, promotion: Promotion):
        keys = secret(kubectl, RUNS, "ranklift-object-store").values()
        for kind in ("workflow", "pod"):
            written = kubectl("get", kind, "-n", RUNS, "-o", "yaml")
            assert not any(key in written for key in keys)
