"""deploy on a cluster with an index: KServe fetches model and index, and a version counts once it answers a search."""

import hashlib

import numpy as np
import pytest

from components.deploy.champion import deploy_moved
from components.deploy.cluster.deploy import deploy_on_cluster
from components.deploy.cluster.inference_service import container_of, revision_of
from components.deploy.cluster.rollout import Rollout
from components.deploy.rollback import rollback
from components.errors import RankliftError, StoreError
from components.kubernetes.api import KubernetesApi
from components.model.served import EncoderConfig
from components.registry.registry import Lineage
from tests.components.deploy.conftest import VERSIONS, service_of, serving_settings
from tests.factories.index_versions import make_index
from tests.factories.model_versions import make_model


@pytest.fixture
def history(registry, tmp_path):
    """A registry whose champion was V0 without an index, then V1 with index V0, then V2 with index V1."""
    champion = None
    for version in VERSIONS:
        model = make_model(tmp_path / version, version.lower())
        registry.publish_model(model, None, Lineage())
        index = None
        if version != "V0":
            digest = EncoderConfig.of(model).digest
            folder = tmp_path / f"index-{version}"
            make_index(folder, np.eye(4, dtype=np.float32), ["a", "b", "c", "d"], model=digest)
            plan = hashlib.sha256(version.encode()).hexdigest()
            index = registry.publish_index(folder, plan, Lineage(model_digest=digest)).name
        champion = registry.move_champion(version, champion, index=index)
    return registry


def variables(service):
    return {item["name"]: item["value"] for item in container_of(service)["env"]}


def test_deploy_with_an_index_has_kserve_fetch_both_and_waits_for_a_search(deploy, cluster, kserve, history):
    assert deploy("V1") == "V1"
    service, bucket = service_of(cluster), history.store.settings.bucket
    assert service["spec"]["predictor"]["storageUris"] == [
        {"uri": f"s3://{bucket}/models/V1/", "mountPath": "/mnt/models/model"},
        {"uri": f"s3://{bucket}/indexes/V0/", "mountPath": "/mnt/models/index"},
    ]
    said = variables(service)
    assert "STORAGE_URI" not in said, "KServe refuses it beside storageUris"
    assert (said["RANKLIFT_PREDICTOR_MODEL_DIR"], said["RANKLIFT_PREDICTOR_INDEX_DIR"]) == (
        "/mnt/models/model", "/mnt/models/index",
    )  # fmt: skip
    stored = history.stored_manifest("index", "V0")
    assert said["RANKLIFT_PREDICTOR_INDEX_MANIFEST_SHA256"] == stored.sha256
    assert (revision_of(service).version, revision_of(service).index_version) == ("V1", "V0")


def test_first_champion_with_an_index_names_the_deploy_that_serves_both(history, kserve, cluster):
    told: list[str] = []
    rollout = Rollout(KubernetesApi.connect(), serving_settings(), inside=True)
    cluster.delete("inferenceservices", "ranklift", "ranklift")
    deploy_on_cluster("V1", history, serving_settings(), number=0, rollout=rollout, tell=told.append)
    assert told[-1].startswith("deploy: V1 with index V0 is the first champion; ")
    assert "then `ranklift deploy V1 --namespace ranklift` put it into service" in told[-1]


def test_rollback_to_a_version_without_an_index_takes_the_index_away(deploy, cluster, kserve, history, tmp_path):
    before = service_of(cluster)
    deploy("V2")
    assert rollback(history, tmp_path, "V0", settings=serving_settings()).index is None
    service = service_of(cluster)
    assert "storageUris" not in service["spec"]["predictor"]
    assert variables(service).keys() - variables(before).keys() == {
        "RANKLIFT_CHAMPION_NUMBER", "RANKLIFT_CHAMPION_HEAD", "RANKLIFT_PREVIOUS_VERSION",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        pytest.param("another index", "still searches index V9", id="another-index"),
        pytest.param("no hits", "gave no usable answer to a smoke search", id="no-hits"),
    ],
)
def test_deploy_whose_search_is_not_answered_goes_back_to_the_previous_index(deploy, cluster, kserve, fault, sentence):
    deploy("V1")
    kserve.faults["V2"] = fault
    with pytest.raises(RankliftError, match=rf"V2 was not deployed: .*{sentence}.* V1 serves again"):
        deploy("V2", deploy_within=2)
    assert (revision_of(service_of(cluster)).version, revision_of(service_of(cluster)).index_version) == ("V1", "V0")


def test_deploy_with_an_index_leaves_the_canary_out_and_says_so(deploy, cluster, kserve):
    assert deploy("V1", canary_percent=10, canary_seconds=1) == "V1"
    assert any("no canary, as KServe fetches an index for the stable predictor alone" in line for line in deploy.told)
    assert kserve.rollouts == ["V0", "V1"]


def test_rollback_moves_model_and_index_of_the_cluster(deploy, cluster, kserve, history, tmp_path):
    deploy("V2")
    champion = rollback(history, tmp_path, settings=serving_settings())
    assert (champion.version, champion.index) == ("V1", "V0")
    assert (revision_of(service_of(cluster)).version, revision_of(service_of(cluster)).index_version) == ("V1", "V0")


class TestAnotherIndexOfTheSameModel:
    """V2 serves with index V1, and is to be searched with index V2."""

    @pytest.fixture
    def reindexed(self, deploy, history, kserve, tmp_path):
        deploy("V2")
        folder = tmp_path / "index"
        digest = history.champion().digest
        make_index(folder, np.eye(4, dtype=np.float32)[::-1].copy(), ["a", "b", "c", "d"], model=digest)
        index = history.publish_index(folder, hashlib.sha256(b"another").hexdigest(), Lineage(model_digest=digest))
        champion = history.move_champion("V2", history.champion(), action="serve")
        return history.move_champion("V2", champion, action="index", index=index.name)

    def test_deploy_rolls_the_pods_and_waits_for_a_search(self, reindexed, history, cluster, kserve, tmp_path):
        deploy_moved(reindexed, history, tmp_path, serving_settings())
        assert kserve.rollouts == ["V0", "V2", "V2"]
        assert revision_of(service_of(cluster)).index_version == "V2"
        assert [(it.index, it.action) for it in history.champion().history[-2:]] == [("V2", "index"), ("V2", "serve")]

    @pytest.mark.parametrize("fault", ["another index", "no hits"])
    def test_deploy_that_fails_goes_back_to_the_previous_index_and_not_to_another_model(
        self, reindexed, history, cluster, kserve, tmp_path, fault
    ):
        before = service_of(cluster)["spec"]["predictor"]
        kserve.faults["V2 with index V2"] = fault
        sentence = r"V2 was not deployed: .* V2 serves again\. It is searched with index V1 again, as before\."
        with pytest.raises(RankliftError, match=sentence):
            deploy_moved(reindexed, history, tmp_path, serving_settings(deploy_within=2))
        assert service_of(cluster)["spec"]["predictor"] == before
        assert (history.champion().version, history.champion().index) == ("V2", "V1")

    def test_deploy_after_one_that_was_killed_goes_back_to_the_previous_index(
        self, reindexed, deploy, history, cluster, kserve, tmp_path
    ):
        deploy("V2")  # and nobody noted that it answers
        kserve.faults["V2 with index V2"] = "no hits"
        with pytest.raises(RankliftError, match="It is searched with index V1 again"):
            deploy_moved(reindexed, history, tmp_path, serving_settings(deploy_within=2))
        there = revision_of(service_of(cluster))
        assert (there.version, there.index_version, there.previous) == ("V2", "V1", "V0")

    def test_deploy_waits_for_pods_with_the_previous_index(self, reindexed, history, cluster, kserve, tmp_path):
        kserve.pods_linger = True
        with pytest.raises(RankliftError, match="Pods of another version still serve"):
            deploy_moved(reindexed, history, tmp_path, serving_settings(deploy_within=2))


def test_deploy_whose_index_was_changed_after_it_became_champion_is_refused(deploy, cluster, history):
    key = "indexes/V1/version.json"
    content = history.store.get(key).content
    history.store.delete(key)
    history.store.put_if_absent(key, content.replace(b'"format"', b' "format"', 1))
    with pytest.raises(StoreError, match="The manifest of index V1 was changed after it became champion"):
        deploy("V2")
    assert revision_of(service_of(cluster)).version == "V0"
