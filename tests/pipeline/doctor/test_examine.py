"""doctor: what is set up right is told as looked at, and what was not looked at says so, against real servers."""

import numpy as np
import pytest
from typer.testing import CliRunner

from components.deploy.cluster.inference_service import container_of
from components.registry.registry import Lineage
from pipeline.cli import app
from tests.factories.index_versions import make_index
from tests.pipeline.conftest import change_service, doctor
from tests.standins.cluster_store import ENDPOINT, secret
from tests.standins.doctor_cluster import IMAGE
from tests.standins.pipelines_api import Pipelines
from tests.standins.pipelines_api import serving as serving_pipelines

CHECKS = (
    "Kubernetes", "images", "keys for the runs", "account of Argo's executor", "keys for the predictor",
    "KFP's launcher", "registry", "registry: writing", "registry: champion", "version in service", "KServe",
    "KServe's mode", "KServe's webhooks", "gateway", "route", "InferenceService", "query", "rights of deploy",
    "admission policies", "Pod Security", "leftovers", "Kubeflow Pipelines",
)  # fmt: skip
UNSEEN = {"NetworkPolicies", "Kubeflow Trainer", "account of the runs", "tokens"}
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def test_a_cluster_in_which_all_is_well_has_nothing_to_fix(cluster):
    status, found = doctor()
    assert [item for item in found.values() if item["state"] == "wrong"] == []
    assert status == 0
    assert {check: found[check]["state"] for check in CHECKS} == dict.fromkeys(CHECKS, "ok"), found
    assert {check: found[check]["state"] for check in UNSEEN} == dict.fromkeys(UNSEEN, "skipped")


def test_what_was_not_looked_at_says_so_and_why(cluster):
    _, found = doctor()
    unseen = [item for item in found.values() if item["state"] == "skipped"]
    assert len(unseen) >= len(UNSEEN)
    assert all(item["finding"].startswith("not checked: ") and len(item["finding"]) > 30 for item in unseen)
    assert "whether the network plug-in enforces NetworkPolicies" in found["NetworkPolicies"]["finding"]


def test_what_may_not_be_read_is_skipped_with_the_rule_that_lets_it(cluster):
    cluster.denied |= {("list", "nodes"), ("get", "secrets")}
    status, found = doctor()
    assert status == 0
    assert found["images"]["state"] == found["keys for the runs"]["state"] == "skipped"
    assert '{apiGroups: [""], resources: [nodes], verbs: [list]}' in found["images"]["finding"]


def test_the_settings_name_the_secret_and_the_images(cluster, tmp_path):
    (tmp_path / "stages.yaml").write_text(
        f"object_store: {{endpoint: '{ENDPOINT}', secret: other}}\ndefaults: {{image: 'ranklift-{{stage}}:1'}}"
    )
    _, found = doctor("--settings", str(tmp_path / "stages.yaml"))
    assert "no Secret other" in found["keys for the runs"]["finding"]
    assert "no node has ranklift-choose:1, ranklift-deploy:1" in found["images"]["finding"]


def test_keys_that_the_object_store_does_not_take_are_found(cluster):
    real = cluster.get("secrets", "kubeflow", "ranklift-object-store")
    cluster.put("secrets", secret("ranklift-object-store", "kubeflow", dict.fromkeys(KEYS, "other")))
    status, found = doctor()
    assert status == 1
    assert "does not know the keys of Secret kubeflow/ranklift-object-store" in found["keys for the runs"]["finding"]
    cluster.put("secrets", real)
    _, found = doctor()
    assert found["keys for the runs"] == {
        "check": "keys for the runs", "state": "ok", "fix": "",
        "finding": f"the object store at {ENDPOINT} takes the keys of Secret kubeflow/ranklift-object-store",
    }  # fmt: skip


class TestThisMachinesStore:
    """What the environment names, where no cluster is named."""

    @pytest.fixture
    def environment(self, cluster, object_store, monkeypatch):
        for name, value in object_store.environment().items():
            monkeypatch.setenv(name, value)
        return monkeypatch

    def test_it_is_looked_at(self, environment):
        _, found = doctor(named=())
        assert found["object store"]["state"] == found["object store: writing"]["state"] == "ok"

    def test_it_is_left_alone_where_a_cluster_is_named(self, environment):
        environment.setenv("RANKLIFT_S3_ENDPOINT", "http://127.0.0.1:1")
        status, found = doctor()
        assert (status, found["object store"]["state"]) == (0, "skipped")
        assert "a cluster is named" in found["object store"]["finding"]

    def test_one_that_is_down_or_has_no_bucket_is_found(self, environment):
        environment.setenv("RANKLIFT_S3_BUCKET", "nowhere")
        _, found = doctor(named=())
        assert "NoSuchBucket; create the bucket" in found["object store"]["finding"]
        environment.setenv("RANKLIFT_S3_ENDPOINT", "http://127.0.0.1:1")
        _, found = doctor(named=())
        assert "accepts no connection" in found["object store"]["finding"]


def test_the_endpoint_of_the_pipelines_is_asked(cluster):
    with serving_pipelines(Pipelines()) as endpoint:
        _, found = doctor("--endpoint", endpoint)
        assert found["KFP endpoint"]["state"] == "ok"
    status, found = doctor("--endpoint", endpoint)
    assert (status, found["KFP endpoint"]["state"]) == (1, "wrong")


def test_on_a_laptop_it_checks_what_there_is_and_says_what_not(monkeypatch, tmp_path):
    for name in ("RANKLIFT_S3_ENDPOINT", "RANKLIFT_KUBERNETES_NAMESPACE", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("RANKLIFT_HOME", str(tmp_path / "home"))
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.stdout
    lines = result.stdout.splitlines()
    assert lines[0].startswith("ok     Python: Python 3.")
    assert any(line.startswith("-      Kubernetes: not checked: No Kubernetes cluster is configured") for line in lines)
    assert any("`ranklift serve` starts one" in line for line in lines)
    named = CliRunner().invoke(app, ["doctor", "--namespace", "ranklift"])
    assert named.exit_code == 1, "who names a cluster's namespace wants to hear that there is no cluster"


def test_an_image_of_a_registry_is_pulled_when_it_is_needed(cluster):
    change_service(lambda s: container_of(s).update(image="registry.example.com/predictor:1"))(cluster)
    status, found = doctor()
    assert (status, found["images"]["state"]) == (0, "skipped"), "nobody looked whether the registry has it"
    assert "will be pulled when they are needed: registry.example.com/predictor:1" in found["images"]["finding"]


@pytest.mark.parametrize(
    ("images", "state"),
    [
        ([{"names": None}, {}, {"names": ["docker.io/library/" + IMAGE]}], "ok"),
        ([{"names": [f"other:{number}"]} for number in range(50)], "skipped"),
        ([{"names": [f"other:{number}"]} for number in range(49)], "wrong"),
    ],
    ids=["an image without names", "a list that is full", "a list that is whole"],
)
def test_check_images_knows_what_a_node_tells(cluster, images, state):
    cluster.put("nodes", {"metadata": {"name": "node"}, "status": {"images": images}})
    assert doctor()[1]["images"]["state"] == state


def test_check_token_of_a_secret_that_is_named_looks_for_it(cluster, tmp_path):
    (tmp_path / "stages.yaml").write_text("serving: {token_secret: ranklift-deploy-token}")
    found = doctor("--settings", str(tmp_path / "stages.yaml"))[1]["tokens"]
    assert (found["state"], "no Secret ranklift-deploy-token with a token" in found["finding"]) == ("wrong", True)
    cluster.put("secrets", secret("ranklift-deploy-token", "kubeflow", {"token": "x"}))
    assert doctor("--settings", str(tmp_path / "stages.yaml"))[1]["tokens"]["state"] == "ok"


def test_a_context_is_named_in_the_command_that_repairs(cluster, registry):
    registry.move_champion("V1", registry.champion())
    _, found = doctor("--context", "other")
    fix = found["version in service"]["fix"]
    assert fix.startswith("`ranklift deploy V1 --namespace ranklift --context other` puts it into service")


def test_an_index_that_is_named_and_not_in_service_is_found(cluster, registry, tmp_path):
    champion = registry.champion()
    make_index(tmp_path / "index", np.eye(4, dtype=np.float32), ["a", "b", "c", "d"], model=champion.digest)
    index = registry.publish_index(tmp_path / "index", "a" * 64, Lineage(model_digest=champion.digest))
    registry.move_champion(champion.version, champion, action="index", index=index.name)
    found = doctor()[1]["version in service"]
    pair = f"{champion.version} with index V0 is champion, and {champion.version} is in service with no index"
    assert (found["state"], found["finding"].startswith(pair)) == ("wrong", True)
    assert found["fix"] == "`ranklift deploy --namespace ranklift` puts both into service"


class TestSeveralNodes:
    SETTINGS = f"{{object_store: {{endpoint: '{ENDPOINT}', secret: ranklift-object-store}}, train_job: {{cpu: 2}}}}"

    def examine(self, tmp_path):
        (tmp_path / "nodes.yaml").write_text(self.SETTINGS)
        return doctor("--settings", str(tmp_path / "nodes.yaml"))[1]["Kubeflow Trainer"]

    def test_who_asks_for_one_is_not_asked_about_trainer(self, cluster):
        assert doctor()[1]["Kubeflow Trainer"]["state"] == "skipped"

    def test_a_cluster_without_trainer_is_told_what_to_install(self, cluster, tmp_path):
        cluster.unknown.add("clustertrainingruntimes")
        found = self.examine(tmp_path)
        assert (found["state"], found["fix"]) == ("wrong", "install 2.3 or newer")

    def test_a_runtime_that_is_not_there_is_named_with_those_that_are(self, cluster, tmp_path):
        cluster.put("clustertrainingruntimes", {"metadata": {"name": "mlx-distributed"}})
        found = self.examine(tmp_path)
        assert "no ClusterTrainingRuntime torch-distributed" in found["finding"]
        assert "there are mlx-distributed" in found["finding"]
        cluster.put("clustertrainingruntimes", {"metadata": {"name": "torch-distributed"}})
        assert self.examine(tmp_path)["state"] == "ok"
