"""deploy on a cluster: the new version answers before it counts, alone or first as a canary; rollback does the same."""

import copy
import json

import pytest
import yaml
from typer.testing import CliRunner

from components.deploy.cluster.deploy import deploy_on_cluster
from components.deploy.cluster.inference_service import Revision, canary_of, revision_of
from components.deploy.cluster.patches import canary_beside, changed
from components.deploy.cluster.rollout import Rollout
from components.deploy.component import deploy as stage
from components.deploy.deploy import versions_in_service
from components.deploy.rollback import rollback
from components.deploy.settings import ServingSettings
from components.errors import RankliftError, StoreError
from components.kubernetes.api import KubernetesApi
from pipeline.cli import app
from pipeline.settings.file import Serving
from tests.components.deploy.conftest import MANIFEST, applies, make_history, service_of, serving_settings


class TestThatItServes:
    def test_the_new_version_is_asked_for_and_answers(self, deploy, cluster, kserve, history):
        before = service_of(cluster)
        assert deploy("V1") == "V1"
        service = service_of(cluster)
        assert revision_of(service).storage_uri == f"s3://{history.store.settings.bucket}/models/V1/"
        assert (revision_of(service).number, revision_of(service).previous) == (1, "V0")
        assert revision_of(service).manifest_sha256 == history.stored_manifest("model", "V1").sha256
        assert service["metadata"]["labels"]["app.kubernetes.io/version"] == "V1"
        assert {version for _, version in kserve.asked[-6:]} == {"V1"}
        assert service["spec"]["predictor"]["labels"] == {"app.kubernetes.io/version": "V1"}
        assert without_env(service) == without_env(before), "nothing else of the manifest changes"

    def test_doing_it_again_changes_nothing_and_proves_it_again(self, deploy, kserve, cluster):
        deploy("V1")
        generation, asked = service_of(cluster)["metadata"]["generation"], len(kserve.asked)
        assert deploy("V1") == "V1"
        assert service_of(cluster)["metadata"]["generation"] == generation
        assert len(kserve.asked) > asked
        assert kserve.rollouts == ["V0", "V1"]

    def test_the_least_that_a_role_grants_suffices(self, deploy, cluster):
        deploy("V1")
        used = {(request.verb, request.resource) for request in cluster.requests}
        assert used <= {(verb, "inferenceservices") for verb in ("get", "patch", "watch")} | {("list", "pods")}
        cluster.denied.add(("list", "pods"))
        assert deploy("V2") == "V2"

    def test_the_first_champion_waits_for_the_manifest(self, history, deploy, cluster):
        cluster.delete("inferenceservices", "ranklift", "ranklift")
        assert deploy("V0") == "V0"
        assert "`kubectl apply -f kserve/inference-service.yaml`" in deploy.told[-1]
        with pytest.raises(RankliftError, match="V2 was not deployed: there is no InferenceService ranklift"):
            deploy("V2")

    def test_a_first_champion_that_is_not_the_manifests_names_what_serves_it(self, history, kserve, cluster):
        told: list[str] = []
        rollout = Rollout(KubernetesApi.connect(), serving_settings(), inside=True)
        cluster.delete("inferenceservices", "ranklift", "ranklift")
        deploy_on_cluster("V1", history, serving_settings(), number=0, rollout=rollout, tell=told.append)
        assert "yaml`, then `ranklift deploy V1 --namespace ranklift` put it into service" in told[-1]

    def test_ready_alone_is_no_proof(self, deploy, cluster, kserve):
        """KServe says Ready while the pods of before serve; a version that never answers is found out all the same."""
        kserve.faults["V1"] = "slow"
        with pytest.raises(
            RankliftError, match=r"V1 did not answer within 2 s.* still answers with V0.*V0 serves again"
        ):
            deploy("V1", deploy_within=2)
        conditions = {item["type"]: item["status"] for item in service_of(cluster)["status"]["conditions"]}
        assert conditions["Ready"] == "True"


class TestAHistoryOfItsOwn:
    @pytest.fixture
    def history(self, registry, tmp_path):
        return make_history(registry, tmp_path)

    def test_one_that_was_rewritten_is_noticed(self, deploy, history, cluster):
        deploy("V2")
        history.store.delete("champion.json")
        history.move_champion("V0", None)
        with pytest.raises(StoreError, match="was rewritten since V2 was deployed"):
            deploy("V0")
        assert revision_of(service_of(cluster)).version == "V2"


class TestACanary:
    def test_it_answers_for_a_while_before_all_traffic_moves(self, deploy, cluster, kserve):
        assert deploy("V1", canary_percent=10, canary_seconds=1) == "V1"
        hosts = [host for host, version in kserve.asked if version == "V1"]
        assert hosts[0] == "ranklift-canary-predictor.ranklift.svc.cluster.local"
        assert hosts[-1] == "ranklift-predictor.ranklift.svc.cluster.local"
        assert kserve.rollouts == ["V0", "V1", "V1"], "what served was not started anew beside the canary"
        service = service_of(cluster)
        assert canary_of(service) is None
        assert revision_of(service).version == "V1"

    def test_what_kserve_is_asked_for_is_what_it_accepts(self, deploy, cluster, kserve):
        """KServe refuses a canary without a name, or with a `maxReplicas`; and it derives replicas from the share, and
        leaves the autoscaler of a canary behind, where nothing is said of them."""
        seen = []
        reconcile = cluster.on_apply
        cluster.on_apply = lambda key, item: (seen.append(item), reconcile(key, item))
        deploy("V1", canary_percent=10, canary_seconds=0)
        (canary,) = seen[0]["spec"]["canary"]
        assert canary["trafficPercent"] == 10
        assert set(canary["predictor"]) == {"name", "containers", "minReplicas", "labels", "annotations"}
        assert canary["predictor"]["minReplicas"] == 1
        assert canary["predictor"]["annotations"] == {"serving.kserve.io/autoscalerClass": "none"}
        assert seen[0]["spec"]["predictor"] == yaml_predictor(deploy, cluster, "V0", seen[0])

    def test_one_that_crashes_is_removed_and_nothing_else_changes(self, deploy, cluster, kserve):
        kserve.faults["V1"] = "crash"
        before = service_of(cluster)["spec"]
        with pytest.raises(RankliftError, match=r"(?s)exit code 3.*V0 serves again"):
            deploy("V1", canary_percent=10, canary_seconds=1)
        assert service_of(cluster)["spec"] == before
        assert kserve.rollouts == ["V0", "V1"], "the stable predictor was never touched"


class TestFromALaptop:
    def test_the_predictor_is_asked_through_the_api_server(self, deploy, cluster, kserve):
        assert deploy("V1", inside=False, canary_percent=10, canary_seconds=0) == "V1"
        asked = {request.name for request in cluster.requests if request.resource.startswith("services/proxy")}
        assert asked == {"http:ranklift-predictor:80", "http:ranklift-canary-predictor:80"}

    def test_who_may_not_ask_through_it_is_told_the_rule(self, deploy, cluster, kserve):
        cluster.denied.add(("create", "services/proxy/find_similar"))
        with pytest.raises(RankliftError, match=r"resources: \[services/proxy\], verbs: \[create\]"):
            deploy("V1", inside=False)
        assert not applies(cluster)

    @pytest.mark.parametrize("answer", [None, [], 5], ids=["null", "list", "number"])
    def test_an_answer_that_is_no_object_is_no_answer(self, deploy, cluster, kserve, answer):
        cluster.network = lambda *_: (200, answer)
        with pytest.raises(RankliftError, match=r"V1 was not deployed: .*answered something that is not a JSON object"):
            deploy("V1", inside=False, deploy_within=2)

    def test_a_url_that_was_given_is_asked_instead(self, deploy, cluster, kserve):
        given = "http://ranklift-predictor.ranklift.svc.cluster.local"
        assert deploy("V1", inside=False, predictor_url=given) == "V1"
        assert not [request for request in cluster.requests if request.resource.startswith("services/proxy")]


class TestFromItsEnvironment:
    """The stage and the command, as KFP and people start them; both see V0 served and V2 champion."""

    @pytest.fixture
    def history(self, registry, tmp_path, monkeypatch):
        for name, value in registry.store.settings.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("RANKLIFT_HOME", str(tmp_path / "home"))
        return make_history(registry, tmp_path)

    def test_the_stage_deploys_on_the_cluster_that_its_settings_name(self, history, cluster, kserve, monkeypatch):
        monkeypatch.setenv("RANKLIFT_SERVING", "cluster")
        monkeypatch.setenv("RANKLIFT_KUBERNETES_NAMESPACE", "ranklift")
        assert stage.python_func("V2") == "V2"
        assert revision_of(service_of(cluster)).version == "V2"

    def test_the_command_rolls_back_on_a_cluster_and_prints_json_alone(self, history, cluster, kserve, monkeypatch):
        """With the environment's registry; `tests/pipeline/cluster/test_registry.py` has the cluster's own."""
        monkeypatch.setenv("RANKLIFT_KUBERNETES_NAMESPACE", "ranklift")
        result = CliRunner().invoke(app, ["rollback", "--json"])
        assert result.exit_code == 0, result.exception
        assert json.loads(result.stdout)["version"] == "V1"
        assert "deploy: V1 answers at InferenceService ranklift in namespace ranklift" in result.stderr
        assert history.champion().version == revision_of(service_of(cluster)).version == "V1"


class TestRollback:
    @pytest.fixture
    def history(self, registry, tmp_path):
        return make_history(registry, tmp_path)

    def test_pointer_and_serving_move_together(self, deploy, history, cluster, tmp_path):
        deploy("V2")
        champion = rollback(history, tmp_path, settings=serving_settings())
        assert champion.version == revision_of(service_of(cluster)).version == "V1"
        assert revision_of(service_of(cluster)).number == champion.current.number == 3

    def test_a_version_that_does_not_serve_never_becomes_champion(self, deploy, history, cluster, kserve, tmp_path):
        deploy("V2")
        kserve.faults["V1"] = "image"
        with pytest.raises(RankliftError, match=r"V1 was not deployed: .*ImagePullBackOff.*V2 serves again"):
            rollback(history, tmp_path, settings=serving_settings())
        assert history.champion().version == revision_of(service_of(cluster)).version == "V2"

    def test_a_promotion_at_the_same_time_wins(self, deploy, history, cluster, kserve, tmp_path):
        """The champion moves while the rollback waits for its pods: it is told, and the new champion serves."""
        deploy("V2")

        def promote(request):
            if request.verb == "patch" and history.champion().version == "V2":
                history.move_champion("V0", history.champion())

        cluster.before_answer = promote
        with pytest.raises(StoreError, match="another run made V0 champion"):
            rollback(history, tmp_path, settings=serving_settings())
        assert history.champion().version == revision_of(service_of(cluster)).version == "V0"


def test_a_deploy_ends_before_kubernetes_gives_up_the_deployment():
    """From then on KServe calls the predictor not ready and leaves the routes as they are, a canary's too."""
    progress_deadline = 600.0  # Kubernetes' default, which KServe lets nobody change
    assert ServingSettings().deploy_within < progress_deadline
    assert Serving().ready_within == f"{ServingSettings().deploy_within / 60:.0f}m"


class TestWhereItDeploys:
    @pytest.mark.parametrize(
        ("environment", "on_cluster"),
        [
            pytest.param({}, False, id="nothing said"),
            pytest.param({"RANKLIFT_KUBERNETES_NAMESPACE": "search"}, True, id="a namespace"),
            pytest.param({"RANKLIFT_INFERENCE_SERVICE": "docs"}, True, id="a service"),
            pytest.param({"RANKLIFT_INFERENCE_SERVICE": "docs", "RANKLIFT_SERVING": "machine"}, False, id="machine"),
            pytest.param({"RANKLIFT_SERVING": "cluster"}, True, id="cluster"),
        ],
    )
    def test_the_environment_says(self, monkeypatch, environment, on_cluster):
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert ServingSettings().on_cluster is on_cluster


def without_env(service):
    """The spec without what deploy writes: the container's variables and the version's label."""
    copied = copy.deepcopy(service["spec"])
    copied["predictor"].pop("labels", None)
    copied["predictor"]["containers"][0].pop("env")
    return copied


def yaml_predictor(deploy, cluster, version, service):
    """The stable predictor as the manifest has it, with the bucket of the test."""
    predictor = yaml.safe_load(MANIFEST.read_text())["spec"]["predictor"]
    predictor["containers"][0]["env"][0]["value"] = revision_of(service).storage_uri
    assert revision_of(service).version == version
    return predictor


class TestWhatPruneMustKeep:
    def test_it_is_what_serves_what_is_tried_and_what_would_be_gone_back_to(self, deploy, cluster, kserve, tmp_path):
        deploy("V1")
        assert versions_in_service(tmp_path, serving_settings()) == ["V1", "V0"]
        kserve.faults["V2"] = "slow"
        service, canary = service_of(cluster), Revision("V2", "s3://b/models/V2/", 2, label="V2")
        body = changed(service, None, canary_beside(service, canary, 10))
        cluster.apply("inferenceservices", "ranklift", "ranklift", body, "ranklift")
        assert versions_in_service(tmp_path, serving_settings()) == ["V1", "V0", "V2"]
