"""submit: what is uploaded and started, and a run followed to its decision, through the real client of KFP."""

import json

import pytest
from typer.testing import CliRunner

from components.errors import RankliftError
from components.object_store.client import ObjectStore
from pipeline.cli import app
from pipeline.cluster.follow import Place, follow
from pipeline.cluster.pipelines_api import PipelinesApi, PipelinesSettings
from pipeline.cluster.submit import six_fields, submit
from pipeline.settings.file import PipelineSettings
from tests.factories.decisions import make_decision

STAGES = ["prepare", "champion", "train", "export", "evaluate", "evaluate-2", "gate"]
PROMOTED = [{stage: "SUCCEEDED"} for stage in STAGES] + [
    {"condition-2": "SUCCEEDED", "promote-driver": "SUCCEEDED", "promote": "RUNNING", "hold": "SKIPPED"},
    {"promote": "SUCCEEDED", "deploy": "RUNNING"},
    {"deploy": "SUCCEEDED"},
]
HELD = [{stage: "SUCCEEDED"} for stage in STAGES] + [{"hold": "SUCCEEDED"}]


@pytest.fixture
def api(endpoint):
    return PipelinesApi(PipelinesSettings(endpoint=endpoint))


def ranklift(*arguments, **environment):
    result = CliRunner().invoke(app, list(arguments), env=environment)
    if isinstance(result.exception, RankliftError):
        return 2, "", str(result.exception)
    return result.exit_code, result.stdout, result.stderr


class TestSubmit:
    def test_the_pipeline_is_made_once_and_the_same_content_is_one_version(self, api, pipelines):
        first = submit(api, [], None)
        again = submit(api, [], None)
        other = submit(api, [], PipelineSettings(stages={"train": {"cpu": "4"}}))
        once_more = submit(api, [], None)
        assert list(pipelines.pipelines.values()) == ["ranklift"]
        assert first.version == again.version == once_more.version != other.version
        assert len(pipelines.versions) == 2
        assert list(pipelines.experiments.values()) == ["ranklift"]
        assert len({first.run_id, again.run_id, other.run_id}) == 3

    def test_what_is_uploaded_is_what_compile_writes(self, api, pipelines, tmp_path):
        (tmp_path / "stages.yaml").write_text("stages: {train: {timeout: 6h}}")
        run = submit(api, [], PipelineSettings.read(tmp_path / "stages.yaml"))
        ranklift("compile", "-o", str(tmp_path / "p.yaml"), "--settings", str(tmp_path / "stages.yaml"))
        assert pipelines.packages[run.version.version_id] == (tmp_path / "p.yaml").read_text()

    def test_parameters_have_the_types_that_the_pipeline_declares(self, api, pipelines):
        texts = ["epochs=2", "seed=7", 'guards={"min_score": 1}', "languages=de", "strict_passages=true"]
        run = submit(api, ["data=s3://b/x.csv", *texts], None, "mine")
        sent = pipelines.runs[run.run_id]
        assert sent["runtime_config"]["parameters"] == {
            "data": "s3://b/x.csv", "epochs": 2.0, "seed": 7, "guards": {"min_score": 1}, "languages": "de",
            "strict_passages": True,
        }  # fmt: skip
        assert sent["pipeline_version_reference"]["pipeline_version_id"] == run.version.version_id
        assert pipelines.experiments[sent["experiment_id"]] == "mine"

    def test_base_models_are_a_list_of_a_pipeline_that_chooses(self, api, pipelines):
        run = submit(api, ["base_models=a/b,c/d", "seed=7"], None)
        parameters = pipelines.runs[run.run_id]["runtime_config"]["parameters"]
        assert parameters == {"base_models": ["a/b", "c/d"], "seed": 7}
        assert "exec-measure" in pipelines.packages[run.version.version_id]
        assert run.tasks["candidates"] == "source"

    def test_base_models_with_one_name_are_the_base_model_of_a_run_as_always(self, api, pipelines):
        run = submit(api, ["base_models=a/b"], None)
        assert pipelines.runs[run.run_id]["runtime_config"]["parameters"] == {"base_model": "a/b"}
        assert "exec-measure" not in pipelines.packages[run.version.version_id]

    def test_artifacts_go_where_the_settings_say(self, api, pipelines):
        run = submit(api, [], PipelineSettings(pipeline_root="s3://ranklift/runs", service_account="runner"))
        assert pipelines.runs[run.run_id]["service_account"] == "runner"
        assert pipelines.runs[run.run_id]["runtime_config"]["pipeline_root"] == "s3://ranklift/runs"

    def test_a_schedule_makes_a_recurring_run_that_catches_up_with_nothing(self, endpoint, pipelines):
        status, output, _ = ranklift("submit", "--endpoint", endpoint, "--schedule", "0 3 * * 1", "--json")
        assert status == 0
        (recurring,) = pipelines.recurring.values()
        assert recurring["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * 1"
        assert (recurring["no_catchup"], recurring["max_concurrency"], recurring["mode"]) == (True, 1, "ENABLE")
        assert json.loads(output)["url"].startswith(f"{endpoint}/#/recurringrun/details/recurring-")
        assert not pipelines.runs

    @pytest.mark.parametrize(
        ("parameter", "sentence"),
        [
            pytest.param("epoch=2", "no parameter epoch; it has alpha, base_model", id="unknown"),
            pytest.param("epochs", "is not NAME=VALUE", id="no value"),
            pytest.param(
                "seed=two", "--param seed=two is invalid, its type is whole number; give for example", id="type"
            ),
            pytest.param("guards=none", 'for example --param guards={"max_recall_drop"', id="no JSON"),
            pytest.param("data=clicks.csv", "clicks.csv is a path of this machine", id="a local path"),
            pytest.param("evaluation_data=beir", "evaluation_data=beir is a path of this machine", id="a local set"),
            pytest.param("num_nodes=2", "num_nodes=2 trains on nodes that the settings do not describe", id="nodes"),
            pytest.param("recipe=magic", "There is no recipe 'magic'", id="recipe"),
            pytest.param("precision=fp8", "precision = 'fp8' is invalid for `export`", id="precision"),
            pytest.param("min_gain=-1", "min_gain = -1.0 is invalid for `gate`", id="minimum gain"),
            pytest.param('guards={"max_luck": 1}', "There is no guard 'max_luck'", id="guard"),
        ],
    )
    def test_submit_with_an_invalid_parameter_is_one_sentence_and_starts_nothing(
        self, api, pipelines, parameter, sentence
    ):
        with pytest.raises(RankliftError) as caught:
            submit(api, [parameter], None)
        assert sentence in str(caught.value)
        assert not pipelines.versions and not pipelines.runs

    def test_submit_with_an_invalid_parameter_asks_no_endpoint(self):
        status, _, said = ranklift("submit", "--endpoint", "http://127.0.0.1:1", "--param", "min_gain=-1")
        assert status == 2
        assert said.startswith("min_gain = -1.0 is invalid for `gate`: it must be greater than or equal to 0")

    @pytest.mark.parametrize(
        ("given", "fields"),
        [("0 3 * * 1", "0 0 3 * * 1"), ("30 0 3 ? * 2-6", "30 0 3 ? * 2-6")],
        ids=["five fields", "six fields"],
    )
    def test_a_schedule_has_seconds_first(self, given, fields):
        assert six_fields(given) == fields
        with pytest.raises(RankliftError, match="has 2 fields"):
            six_fields("every monday")


class TestFollow:
    def followed(self, api, pipelines, steps, **options):
        pipelines.steps = steps
        lines = []
        return follow(api, submit(api, [], None), lines.append, poll=0.01, **options), lines

    def test_each_stage_is_told_as_it_starts_and_ends(self, api, pipelines):
        ended, lines = self.followed(api, pipelines, PROMOTED)
        assert ended.verdict == "promote"
        assert lines[:2] == ["  prepare …", "  prepare done in 60.0 s"]
        assert lines[-4:] == [
            "  promote …", "  promote done in 60.0 s", "  deploy …", "  deploy done in 60.0 s",
        ]  # fmt: skip
        told = [stage.stage for stage in ended.stages]
        assert told == [
            "prepare", "champion", "train", "export", "evaluate candidate", "evaluate champion", "gate", "promote",
            "deploy",
        ]  # fmt: skip

    def test_a_run_that_holds_says_so(self, api, pipelines):
        ended, lines = self.followed(api, pipelines, HELD)
        assert ended.verdict == "hold"
        assert lines[-1] == "  hold done in 60.0 s"

    def test_the_decision_is_read_where_the_artifacts_are(self, api, pipelines, object_store, monkeypatch):
        for name, value in object_store.environment().items():
            monkeypatch.setenv(name, value)
        pipelines.steps = HELD
        run = submit(api, [], None)
        store = ObjectStore(object_store.model_copy(update={"bucket": "decisions"}))
        store.ensure_bucket()
        decision = make_decision(verdict="hold", reason="Held: the gain is too small.")
        store.put(f"runs/ranklift/{run.run_id}/gate/1234/decision", decision.to_json().encode())
        ended = follow(api, run, lambda line: None, Place(root="s3://decisions/runs"), poll=0.01)
        assert ended.reason == "Held: the gain is too small."

    def test_a_stage_that_fails_is_named_with_what_it_said(self, api, pipelines):
        pipelines.end, pipelines.errors = "FAILED", {"train": "OOMKilled"}
        with pytest.raises(
            RankliftError, match=r"Stage train failed: OOMKilled\. Its log is at http://.*#/runs/details"
        ):
            self.followed(api, pipelines, [{"prepare": "SUCCEEDED"}, {"train": "FAILED"}])

    def test_a_run_that_was_cancelled_is_an_error(self, api, pipelines):
        pipelines.end = "CANCELED"
        with pytest.raises(RankliftError, match="The run ended as CANCELED"):
            self.followed(api, pipelines, [{"prepare": "CANCELED"}])

    def test_an_api_that_is_away_for_a_moment_is_waited_for(self, api, pipelines):
        pipelines.refusals = [503, 502]
        ended, lines = self.followed(api, pipelines, HELD)
        assert ended.verdict == "hold"
        assert sum("Trying again" in line for line in lines) == 1

    def test_one_that_no_longer_knows_the_user_ends_the_following_not_the_run(self, api, pipelines):
        pipelines.refusals = [401]
        with pytest.raises(RankliftError, match=r"RANKLIFT_KFP_TOKEN .*The run itself continues at http"):
            self.followed(api, pipelines, HELD)

    def test_a_run_that_takes_too_long_is_left_alone(self, api, pipelines):
        with pytest.raises(RankliftError, match="did not end within 0 hours; it continues at"):
            self.followed(api, pipelines, [{"prepare": "RUNNING"}] * 9, timeout=0)


class TestTheCommand:
    @pytest.mark.parametrize(
        ("steps", "status", "verdict"),
        [
            pytest.param(PROMOTED[-1:] + PROMOTED, 0, "promote", id="promoted is 0"),
            pytest.param(HELD, 1, "hold", id="1"),
        ],
    )
    def test_it_answers_scripts_by_its_status(self, endpoint, pipelines, steps, status, verdict):
        merged = {task: state for step in steps for task, state in step.items()}
        pipelines.steps = [merged]
        code, output, errors = ranklift("submit", "--endpoint", endpoint, "--follow", "--json")
        assert code == status, errors
        document = json.loads(output)
        assert document["verdict"] == verdict
        assert document["run_id"] in errors

    def test_without_follow_it_says_where_the_run_is(self, endpoint, pipelines):
        code, output, _ = ranklift("submit", RANKLIFT_KFP_ENDPOINT=endpoint, RANKLIFT_KFP_UI="https://kfp.example.com")
        assert code == 0
        assert "https://kfp.example.com/#/runs/details/run-" in output
        assert pipelines.looks == 0

    def test_token_and_headers_come_from_the_environment(self, endpoint, pipelines):
        pipelines.token = "s3cret"
        code, _, error = ranklift("submit", "--endpoint", endpoint)
        assert code == 2
        assert "does not let this user connect to it (401" in error
        headers = json.dumps({"kubeflow-userid": "me@example.com"})
        code, output, _ = ranklift(
            "submit", "--endpoint", endpoint, RANKLIFT_KFP_TOKEN="s3cret", RANKLIFT_KFP_HEADERS=headers
        )
        assert code == 0
        assert "s3cret" not in output
        assert pipelines.seen_headers[-1]["kubeflow-userid"] == "me@example.com"

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            pytest.param([], "give for example --endpoint http://127.0.0.1:8888", id="no endpoint"),
            pytest.param(["--endpoint", "localhost:8888"], "'localhost:8888' is not where", id="no scheme"),
            pytest.param(["--endpoint", "http://127.0.0.1:1"], "did not answer (NewConnectionError)", id="nobody"),
            pytest.param(["--endpoint", "{endpoint}/kfp"], "is not Kubeflow Pipelines (404", id="another page"),
            pytest.param(
                ["--endpoint", "{endpoint}", "--follow", "--schedule", "0 3 * * 1"], "exclude each other", id="both"
            ),
        ],
    )
    def test_what_cannot_be_reached_is_one_sentence(self, endpoint, arguments, sentence):
        code, output, error = ranklift("submit", *(item.replace("{endpoint}", endpoint) for item in arguments))
        assert (code, output) == (2, "")
        assert sentence in error
