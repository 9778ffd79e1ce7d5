"""What was killed between two steps, or lost its store between them, is put right by the command that is named."""

import pytest

from components.deploy.champion import deploy_again, deploy_champion
from components.deploy.cluster.deploy import deploy_on_cluster
from components.deploy.cluster.inference_service import PREVIOUS, container_of, revision_of
from components.deploy.machine.folder import current_version
from components.deploy.rollback import rollback
from components.deploy.settings import ServingSettings
from components.errors import StoreError
from components.kubernetes.errors import KubernetesError
from components.object_store.client import ObjectStore
from components.registry.registry import Lineage
from tests.components.deploy.conftest import service_of, serving_settings
from tests.factories.model_versions import make_model

MACHINE = ServingSettings(serving="machine")


@pytest.fixture
def history(registry, tmp_path):
    """V0, V1 and V2, of which V0 was champion and V1 is, seen to answer; V2 waits to be promoted."""
    for version in ("V0", "V1", "V2"):
        registry.publish_model(make_model(tmp_path / version, version.lower()), None, Lineage())
    registry.move_champion("V1", registry.move_champion("V0", None))
    return registry


@pytest.fixture
def served(history, kserve, tmp_path):
    deploy_champion("V1", history, tmp_path, serving_settings())
    return history


def test_deploy_again_after_a_rollback_that_was_killed_before_it_moved_the_pointer(served, cluster, tmp_path):
    deploy_on_cluster("V0", served, serving_settings(), number=len(served.champion().history))
    champion = deploy_again(served, tmp_path, None, "", serving_settings())
    assert champion.version == revision_of(service_of(cluster)).version == "V1"
    later = served.move_champion("V2", champion)
    assert deploy_champion("V2", served, tmp_path, serving_settings()) == "V2"
    assert revision_of(service_of(cluster)).number == later.current.number


def test_the_stage_does_not_undo_a_rollback_that_has_not_moved_the_pointer_yet(served, cluster, tmp_path):
    deploy_on_cluster("V0", served, serving_settings(), number=len(served.champion().history))
    assert deploy_champion("V1", served, tmp_path, serving_settings()) == "V0"
    assert revision_of(service_of(cluster)).version == "V0"


def test_deploy_again_without_a_cluster_leaves_the_champion_to_the_stage(served, tmp_path, monkeypatch):
    served.move_champion("V2", served.champion())
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    with pytest.raises(KubernetesError, match="No Kubernetes cluster is configured"):
        deploy_again(served, tmp_path, None, "", serving_settings())
    assert served.champion().version == "V2"


def test_rollback_whose_store_goes_away_before_the_pointer_moves_names_what_serves(served, cluster, tmp_path):
    there = served.store

    def go_away(request):
        if request.verb == "patch":
            served.store = ObjectStore(there.settings.model_copy(update={"endpoint": "http://127.0.0.1:1"}))

    cluster.before_answer = go_away
    with pytest.raises(StoreError) as caught:
        rollback(served, tmp_path, "V0", settings=serving_settings())
    assert "V0 may still serve, as the champion could not be restored" in str(caught.value)
    assert "`ranklift deploy --namespace ranklift` does that" in str(caught.value)
    assert "`ranklift deploy V0 --namespace ranklift` makes V0 champion" in str(caught.value)
    cluster.before_answer, served.store = lambda request: None, there
    assert deploy_again(served, tmp_path, "V0", "", serving_settings()).version == "V0"
    assert revision_of(service_of(cluster)).version == "V0"


def test_fallback_to_a_version_that_was_pruned_is_none(served, cluster, tmp_path):
    service = service_of(cluster)
    for item in container_of(service)["env"]:
        item["value"] = "V9" if item["name"] == PREVIOUS else item.get("value", "")
    cluster.put("inferenceservices", service)
    assert deploy_champion("V1", served, tmp_path, serving_settings()) == "V1"


def test_deploy_champion_on_a_machine_of_an_earlier_champion_steps_aside(versions, tmp_path):
    versions.move_champion("V1", versions.move_champion("V0", None))
    deploy_champion("V1", versions, tmp_path, MACHINE)
    assert deploy_champion("V0", versions, tmp_path, MACHINE) == "V1"
    assert current_version(tmp_path) == versions.champion().version == "V1"
