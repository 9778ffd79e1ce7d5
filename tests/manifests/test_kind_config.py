"""The configuration of the kind cluster, and what git must never see of it."""

import re
import shutil
import subprocess

import pytest
import yaml

from tests.manifests.rendering import KUBERNETES, PROJECT


@pytest.mark.parametrize("name", ["root", "kubeflow", "pipeline", "predictor"])
def test_git_ignores_the_keys(name):
    ignored = subprocess.run(
        [shutil.which("git"), "-C", str(PROJECT), "check-ignore", "--quiet", f"manifests/secrets/{name}.env"],
        check=False,
    )
    assert ignored.returncode == 0


def test_the_node_is_pinned_to_a_kubernetes_that_is_tested(kind_config):
    (node,) = kind_config["nodes"]
    found = re.fullmatch(r"kindest/node:v(1\.\d+)\.\d+@sha256:[0-9a-f]{64}", node["image"])
    assert found and found[1] in KUBERNETES
    assert all(int(version.split(".")[1]) >= 32 for version in KUBERNETES), "KServe 0.21 needs 1.32"


def test_ports_are_open_on_this_machine_alone(kind_config):
    (node,) = kind_config["nodes"]
    assert {port["listenAddress"] for port in node["extraPortMappings"]} == {"127.0.0.1"}


def test_a_host_with_cgroup_v1_is_no_reason_not_to_start(kind_config):
    (node,) = kind_config["nodes"]
    (patch,) = map(yaml.safe_load, node["kubeadmConfigPatches"])
    assert (patch["kind"], patch["failCgroupV1"]) == ("KubeletConfiguration", False)
