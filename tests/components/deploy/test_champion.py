"""The champion is what serves: a deploy that fails moves it back, and one that succeeds says so in the history."""

import json

import pytest
from typer.testing import CliRunner

from components.champion.champion import champion_model
from components.deploy.champion import deploy_again, deploy_champion
from components.deploy.cluster.deploy import deploy_on_cluster
from components.deploy.cluster.inference_service import revision_of
from components.deploy.machine.deploy import deploy_local
from components.deploy.machine.folder import current_version
from components.deploy.rollback import rollback
from components.deploy.settings import ServingSettings
from components.deploy.standing import standing, standing_of_versions
from components.errors import RankliftError, StoreError
from components.registry.prune import prune
from components.registry.registry import Lineage
from pipeline.cli import app
from tests.components.deploy.conftest import service_of, serving_settings
from tests.factories.model_versions import make_model

MACHINE = ServingSettings(serving="machine")


@pytest.fixture
def history(registry, tmp_path):
    """A registry whose champion was V0, and is V1 since a moment ago; V2 waits to be promoted."""
    for version in ("V0", "V1", "V2"):
        registry.publish_model(make_model(tmp_path / version, version.lower()), None, Lineage())
    registry.move_champion("V1", registry.move_champion("V0", None), reason="V1 is better.")
    return registry


def moves(registry):
    return [(entry.version, entry.action) for entry in registry.champion().history]


def stage(registry, tmp_path, version="V1", **settings):
    return deploy_champion(version, registry, tmp_path / "home", serving_settings(**settings))


class TestTheStage:
    def test_deploy_champion_that_succeeds_notes_that_it_serves(self, history, kserve, tmp_path):
        assert stage(history, tmp_path) == "V1"
        assert moves(history) == [("V0", "promote"), ("V1", "promote"), ("V1", "serve")]
        assert history.champion().current.reason == "It answers at InferenceService ranklift in namespace ranklift."

    def test_deploy_champion_done_again_restarts_nothing_and_notes_nothing(self, history, kserve, cluster, tmp_path):
        stage(history, tmp_path)
        generation = service_of(cluster)["metadata"]["generation"]
        assert stage(history, tmp_path) == "V1"
        assert service_of(cluster)["metadata"]["generation"] == generation
        assert len(moves(history)) == 3

    def test_deploy_champion_that_fails_makes_champion_again_what_serves(self, history, kserve, cluster, tmp_path):
        kserve.faults["V1"] = "memory"
        with pytest.raises(
            RankliftError,
            match=r"OOMKilled.*V0 serves again\. V0 is champion again; `ranklift deploy V1 --namespace ranklift` tries",
        ):
            stage(history, tmp_path)
        assert moves(history)[2:] == [("V0", "restore")]
        assert "ran out of memory" in history.champion().current.reason
        assert history.champion().version == revision_of(service_of(cluster)).version == "V0"
        assert history.champion().undeployed == ["V1"]

    def test_deploy_champion_that_may_change_nothing_makes_champion_again_what_answers(
        self, history, kserve, cluster, tmp_path
    ):
        cluster.denied.add(("patch", "inferenceservices"))
        with pytest.raises(RankliftError, match=r"Nothing was changed\. V0 is champion again"):
            stage(history, tmp_path)
        assert history.champion().version == "V0"

    def test_deploy_champion_without_a_cluster_makes_champion_again_what_served_last(
        self, history, kserve, tmp_path, monkeypatch
    ):
        stage(history, tmp_path)
        history.move_champion("V2", history.champion())
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
        with pytest.raises(RankliftError, match=r"No Kubernetes cluster is configured.*V1 is champion again"):
            stage(history, tmp_path, "V2")
        assert moves(history)[-1] == ("V1", "restore")

    def test_deploy_champion_that_is_tried_again_is_champion_again_once_it_answers(self, history, kserve, tmp_path):
        kserve.faults["V1"] = "crash"
        with pytest.raises(RankliftError, match="V0 is champion again"):
            stage(history, tmp_path)
        kserve.faults.clear()
        assert stage(history, tmp_path) == "V1"
        assert moves(history)[2:] == [("V0", "restore"), ("V1", "deploy")]
        assert history.champion().undeployed == []

    def test_deploy_champion_that_fails_leaves_a_later_champion_alone(self, history, kserve, cluster, tmp_path):
        kserve.faults["V1"] = "crash"

        def promote(request):
            if request.verb == "patch" and history.champion().version == "V1":
                history.move_champion("V2", history.champion())

        cluster.before_answer = promote
        with pytest.raises(RankliftError, match=r"V0 serves again\.$"):
            stage(history, tmp_path)
        assert history.champion().version == "V2"


class TestAfterADeployThatWasKilled:
    """V1 was proven, then V2 was asked for and nobody noted that it answers; now V0 is promoted, and fails."""

    @pytest.fixture
    def killed(self, history, kserve, cluster, tmp_path):
        stage(history, tmp_path)
        served = history.champion()
        promoted = history.move_champion("V2", served)
        deploy_on_cluster("V2", history, serving_settings())
        kserve.faults["V0"] = "crash"
        history.move_champion("V0", promoted)
        return history

    def test_it_goes_back_to_what_was_asked_for_when_that_answers(self, killed, cluster, tmp_path):
        with pytest.raises(RankliftError, match="V2 serves again"):
            stage(killed, tmp_path, "V0")
        assert killed.champion().version == revision_of(service_of(cluster)).version == "V2"

    def test_it_goes_back_to_what_was_proven_last_when_that_is_another_model(self, killed, kserve, cluster, tmp_path):
        kserve.digests["V2"] = "f" * 64
        with pytest.raises(RankliftError, match="V1 serves again"):
            stage(killed, tmp_path, "V0")
        assert killed.champion().version == revision_of(service_of(cluster)).version == "V1"


class TestTheFirstChampion:
    @pytest.fixture
    def history(self, registry, tmp_path):
        registry.publish_model(make_model(tmp_path / "V0", "v0"), None, Lineage())
        registry.move_champion("V0", None)
        return registry

    @pytest.fixture
    def kserve(self):
        """No InferenceService yet."""

    def test_deploy_champion_without_an_inference_service_does_not_say_that_it_serves(self, history, cluster, tmp_path):
        assert stage(history, tmp_path, "V0") == "V0"
        assert moves(history) == [("V0", "promote")]


class TestOnAMachine:
    def test_deploy_champion_that_cannot_be_opened_makes_champion_again_what_stays_in_service(self, versions, tmp_path):
        home = tmp_path / "home"
        first = versions.move_champion("V0", None)
        deploy_local("V0", versions, home)
        versions.move_champion("V2", first)
        with pytest.raises(RankliftError, match=r"V0 stays in service\. V0 is champion again"):
            deploy_champion("V2", versions, home, MACHINE)
        assert versions.champion().version == current_version(home) == "V0"

    def test_a_first_champion_that_cannot_be_opened_stays_champion(self, versions, tmp_path):
        versions.move_champion("V2", None)
        with pytest.raises(RankliftError, match=r"Nothing was in service before\.$"):
            deploy_champion("V2", versions, tmp_path / "home", MACHINE)
        assert moves(versions) == [("V2", "promote")]


class TestTheCommand:
    @pytest.fixture
    def failed(self, history, kserve, tmp_path):
        """V1 was promoted and could not be deployed; it could now."""
        kserve.faults["V1"] = "image"
        with pytest.raises(RankliftError, match="V0 is champion again"):
            stage(history, tmp_path)
        kserve.faults.clear()
        return history

    def test_deploy_again_of_the_champion_that_was_killed_finishes_it(self, history, kserve, cluster, tmp_path):
        champion = deploy_again(history, tmp_path, None, "", serving_settings())
        assert (champion.version, champion.current.action) == ("V1", "serve")
        assert revision_of(service_of(cluster)).version == "V1"

    def test_deploy_again_of_another_version_serves_before_it_is_champion(self, failed, cluster, tmp_path):
        champion = deploy_again(failed, tmp_path, "V1", "There is memory now.", serving_settings())
        assert (champion.version, champion.current.action) == ("V1", "deploy")
        assert champion.current.reason == "There is memory now."
        assert revision_of(service_of(cluster)).number == champion.current.number == 3

    def test_deploy_again_that_fails_leaves_champion_and_service(self, failed, kserve, cluster, tmp_path):
        kserve.faults["V1"] = "crash"
        with pytest.raises(RankliftError, match="V0 serves again"):
            deploy_again(failed, tmp_path, "V1", "", serving_settings())
        assert failed.champion().version == revision_of(service_of(cluster)).version == "V0"

    @pytest.mark.parametrize(
        ("version", "sentence"),
        [
            pytest.param("V2", r"V2 was never champion, so it cannot be deployed; besides V1: V0\.", id="not promoted"),
            pytest.param("V9", "V9 was never champion", id="unknown"),
        ],
    )
    def test_deploy_again_of_what_was_never_champion_is_refused(self, history, tmp_path, version, sentence):
        with pytest.raises(StoreError, match=sentence):
            deploy_again(history, tmp_path, version, "", MACHINE)

    def test_deploy_again_before_any_promotion_says_what_promotes(self, registry, tmp_path):
        with pytest.raises(StoreError, match=r"nothing to deploy; `ranklift run` promotes"):
            deploy_again(registry, tmp_path, None, "", MACHINE)

    def test_the_command_deploys_on_a_cluster_and_prints_json_alone(self, failed, cluster, tmp_path, monkeypatch):
        for name, value in failed.store.settings.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("RANKLIFT_HOME", str(tmp_path / "home"))
        listed = CliRunner().invoke(app, ["models", "list", "--json"])
        assert [row["champion"] for row in json.loads(listed.stdout)] == ["champion", "not deployed", ""]
        monkeypatch.setenv("RANKLIFT_KUBERNETES_NAMESPACE", "ranklift")
        result = CliRunner().invoke(app, ["deploy", "V1", "--json"])
        assert result.exit_code == 0, result.exception
        assert json.loads(result.stdout)["action"] == "deploy"
        assert "deploy: V1 answers at InferenceService ranklift in namespace ranklift" in result.stderr
        assert failed.champion().version == revision_of(service_of(cluster)).version == "V1"


class TestWhatFollowsFromIt:
    @pytest.fixture
    def restored(self, history):
        """V0 serves; V1 was promoted after it and failed."""
        return history.move_champion("V0", history.champion(), action="restore", reason="V1 was not deployed.")

    def test_rollback_never_goes_to_what_never_served(self, history, restored):
        with pytest.raises(StoreError, match="V0 has no previous champion"):
            rollback(history, None)
        history.move_champion("V2", restored)
        assert rollback(history, None).version == "V0"

    def test_prune_does_not_keep_what_never_served_as_the_champion_before(self, history, restored):
        report = prune(history, keep=0)
        assert report.removed == ["models/V1", "models/V2"]
        assert report.kept == {"models/V0": "it is champion"}

    def test_prune_keeps_what_was_seen_to_serve_last_while_later_champions_wait(self, history):
        served = history.move_champion("V1", history.champion(), action="serve")
        history.move_champion("V0", history.move_champion("V2", served))
        assert prune(history, keep=0).kept["models/V1"] == "it was seen to serve last"

    def test_champion_model_says_when_it_is_promoted_only(self, versions, tmp_path):
        first = versions.move_champion("V0", None)
        assert champion_model(versions, tmp_path / "data", tmp_path / "first").name == "V0"
        served = versions.move_champion("V0", first, action="serve")
        versions.move_champion("V1", served)
        found = champion_model(versions, tmp_path / "data", tmp_path / "second")
        assert found.name == "V1 (promoted, not in service yet)"
        assert found.digest == versions.champion().digest

    def test_move_champion_beside_a_deploy_that_notes_its_success_is_not_refused(self, history):
        read = history.champion()
        history.move_champion("V1", read, action="serve")
        assert history.move_champion("V2", read).version == "V2"
        with pytest.raises(StoreError, match="another run made V2 champion"):
            history.move_champion("V0", read)

    def test_standing_of_versions_tells_promoted_and_in_service_apart(self, history):
        assert standing_of_versions(None) == {}
        assert standing_of_versions(history.champion()) == {"V1": "champion"}
        served = history.move_champion("V1", history.champion(), action="serve")
        later = history.move_champion("V2", served)
        assert standing_of_versions(later) == {"V1": "in service", "V2": "champion, not in service yet"}
        back = history.move_champion("V1", later, action="restore")
        assert standing_of_versions(back) == {"V1": "champion", "V2": "not deployed"}

    @pytest.mark.parametrize(
        ("in_service", "answering", "sentence", "command"),
        [
            pytest.param("V1", "", "V1 is champion and in service", "", id="agree"),
            pytest.param("V1", "V1", "V1 is champion and in service", "", id="agree and answers"),
            pytest.param("V0", "", "V1 is champion, and V0 is in service", "ranklift deploy V1", id="another"),
            pytest.param("", "", "V1 is champion, and nothing is in service", "ranklift deploy V1", id="nothing"),
            pytest.param(
                "V1", "V0", "V1 is champion and asked for, and V0 still answers", "ranklift deploy V1", id="half"
            ),
        ],
    )
    def test_standing_names_the_command_that_makes_them_one(self, history, in_service, answering, sentence, command):
        found = standing(history.champion(), in_service, answering)
        assert (found.sentence, found.command(), found.agrees) == (sentence, command, not command)
        assert not command or found.command("ranklift") == f"{command} --namespace ranklift"

    def test_standing_before_any_promotion_has_no_command(self):
        found = standing(None, "V0")
        assert found.sentence == "nothing has been promoted, and V0 is in service"
        assert not found.command()
