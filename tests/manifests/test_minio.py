"""What each user of MinIO may do, and the script that sees to it, with a program in place of mc that writes down its
calls: nobody publishes MinIO in a form that the tests could install."""

import json
import os
import re
import shutil
import subprocess
from fnmatch import fnmatch

import pytest

from tests.manifests.rendering import MANIFESTS
from tests.manifests.store_calls import ALLOWED, REFUSED, REFUSED_BY_POLICIES

STORE = MANIFESTS / "store" / "minio"
MC = """#!/bin/bash
printf '%s\\n' "$*" >>"$CALLS"
case "$*" in
"alias set "*) if [[ ! -f $CALLS.up ]]; then : >"$CALLS.up"; exit 1; fi ;;
"admin policy attach "*) exit "$ATTACH" ;;
"admin policy entities "*) printf '%s\\n' "$ENTITIES" ;;
esac
"""
USERS = ("KUBEFLOW", "PIPELINE", "PREDICTOR")
KEYS = {f"{user}_{part}": f"{user}-{part}" for user in USERS for part in ("KEY", "SECRET")}


def may(user: str, action: str, resource: str) -> bool:
    """Whether a user's policy allows an action on a bucket or key, as S3 reads policies."""
    policy = json.loads((STORE / "policies" / f"{user}.json").read_text())
    assert all(statement["Effect"] == "Allow" for statement in policy["Statement"])
    return any(
        action in statement["Action"] and fnmatch(f"arn:aws:s3:::{resource}", pattern)
        for statement in policy["Statement"]
        for pattern in statement["Resource"]
    )


@pytest.mark.parametrize("call", ALLOWED, ids=lambda call: call.name)
def test_a_client_may_do_what_it_does(call):
    assert [need for need in call.needs if not may(call.user, *need)] == []


@pytest.mark.parametrize("call", (*REFUSED, *REFUSED_BY_POLICIES), ids=lambda call: call.name)
def test_a_client_may_not_do_more(call):
    assert [need for need in call.needs if may(call.user, *need)] == []


def test_no_policy_has_a_wildcard_action():
    policies = [json.loads(path.read_text()) for path in (STORE / "policies").glob("*.json")]
    assert len(policies) == len(USERS)
    actions = [action for policy in policies for statement in policy["Statement"] for action in statement["Action"]]
    assert not any("*" in action for action in actions)


def set_up(folder, attach, entities):
    """Run the script with mc and sleep on the PATH, which is about what its image has; returns result and calls."""
    (folder / "mc").write_text(MC)
    (folder / "mc").chmod(0o755)
    if not (folder / "sleep").exists():
        (folder / "sleep").symlink_to(shutil.which("true"))
    environment = {
        **KEYS,
        "PATH": str(folder),
        "CALLS": str(folder / "calls"),
        "STORE": "http://object-store:9000",
        "MINIO_ROOT_USER": "ranklift",
        "MINIO_ROOT_PASSWORD": "root-secret",
        "ATTACH": str(attach),
        "ENTITIES": entities,
    }
    command = [shutil.which("sh"), "-eu", os.fspath(STORE / "setup.sh")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    return result, (folder / "calls").read_text().splitlines()


@pytest.mark.parametrize("attach", [0, 1], ids=["first-time", "attached-already"])
def test_every_user_has_its_policy_and_the_registry_its_versions(tmp_path, attach):
    result, calls = set_up(tmp_path, attach, "Policies: kubeflow pipeline predictor")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == "waiting for http://object-store:9000", "the store was not up at once"
    assert [call.split("/")[-1] for call in calls if call.startswith("mb ")] == ["ranklift", "mlpipeline"]
    assert "version enable --excluded-prefixes training/* store/ranklift" in calls
    for user in ("kubeflow", "pipeline", "predictor"):
        key = KEYS[f"{user.upper()}_KEY"]
        assert f"admin policy create store {user} /setup/{user}.json" in calls
        assert f"admin user add store {key} {KEYS[f'{user.upper()}_SECRET']}" in calls
        assert f"admin policy attach store {user} --user {key}" in calls


def test_a_user_without_its_policy_fails_the_job(tmp_path):
    result, _ = set_up(tmp_path, 1, "Policies: none")
    assert result.returncode != 0
    assert "the policy kubeflow was not attached" in result.stderr


def test_every_policy_is_mounted_where_the_script_looks():
    kustomization = (STORE / "kustomization.yaml").read_text()
    mounted = set(re.findall(r"- (\w+\.json)=policies/", kustomization))
    assert mounted == {path.name for path in (STORE / "policies").glob("*.json")}
    assert {f"{user}.json" for user in re.findall(r"^allow (\w+)", (STORE / "setup.sh").read_text(), re.M)} == mounted
