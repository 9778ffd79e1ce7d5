"""Rollback: pointer and serving move together, or neither does."""

import pytest

from components.deploy.machine.deploy import deploy_local
from components.deploy.machine.folder import current_version
from components.deploy.rollback import rollback
from components.errors import RankliftError, StoreError


@pytest.fixture
def deployed(versions, tmp_path):
    """V0, then V1 became champion, and V1 serves."""
    champion = versions.move_champion("V0", None)
    versions.move_champion("V1", champion)
    deploy_local("V1", versions, tmp_path / "home")
    return versions


def test_the_champion_before_is_champion_and_serves_again(deployed, tmp_path):
    champion = rollback(deployed, tmp_path / "home", reason="V1 was slow.")
    assert champion.version == current_version(tmp_path / "home") == "V0"
    assert [(entry.version, entry.action) for entry in deployed.champion().history] == [
        ("V0", "promote"),
        ("V1", "promote"),
        ("V0", "rollback"),
    ]
    assert deployed.champion().current.reason == "V1 was slow."


def test_a_version_can_be_named_and_gone_back_to(deployed, tmp_path):
    rollback(deployed, tmp_path / "home")
    assert rollback(deployed, tmp_path / "home", "V1").version == "V1"
    assert current_version(tmp_path / "home") == "V1"


def test_without_a_machine_that_serves_only_the_pointer_moves(deployed):
    assert rollback(deployed, None).version == "V0"


def test_a_version_that_does_not_open_never_becomes_champion(deployed, tmp_path):
    broken = deployed.move_champion("V2", deployed.champion())
    deployed.move_champion("V1", broken)
    with pytest.raises(RankliftError, match=r"V2 was not deployed: .*V1 stays in service"):
        rollback(deployed, tmp_path / "home", "V2")
    assert deployed.champion().version == current_version(tmp_path / "home") == "V1"


@pytest.mark.parametrize(
    ("version", "sentence"),
    [("V1", "V1 is champion already"), ("V2", "V2 was never champion"), ("V9", "V9 was never champion")],
)
def test_what_cannot_be_rolled_back_to_is_one_sentence(deployed, version, sentence):
    with pytest.raises(StoreError, match=sentence):
        rollback(deployed, None, version)


def test_the_first_champion_has_nothing_before_it(versions):
    with pytest.raises(StoreError, match="Nothing has been promoted"):
        rollback(versions, None)
    versions.move_champion("V0", None)
    with pytest.raises(StoreError, match="V0 has no previous champion"):
        rollback(versions, None)


def test_a_history_that_was_rewritten_since_the_last_deploy_is_noticed(deployed, tmp_path):
    deployed.store.delete("champion.json")
    deployed.move_champion("V0", None)  # consistent in itself
    with pytest.raises(StoreError, match="was rewritten since this machine last deployed"):
        deploy_local("V0", deployed, tmp_path / "home")
    assert current_version(tmp_path / "home") == "V1"
