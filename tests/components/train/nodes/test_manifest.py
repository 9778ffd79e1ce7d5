"""The TrainJob that is applied: what Kubeflow Trainer's own models know, with no key in it."""

import re

import pytest
import yaml

from components.train.nodes.manifest import inputs_digest, job_name, train_job
from tests.components.train.nodes.train_jobs import SETTINGS, TWO_NODES


class TestTheManifest:
    SETTINGS = SETTINGS.model_copy(
        update={
            "cpu": "8", "memory": "32Gi", "accelerator": "nvidia.com/gpu", "accelerators": 4, "deadline": 7200,
            "node_selector": {"gpu": "l4"}, "image_pull_secrets": ["registry"], "env": {"NCCL_DEBUG": "WARN"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        }
    )  # fmt: skip

    @pytest.fixture
    def manifest(self, object_store):
        return train_job("0123456789abcdef", TWO_NODES, self.SETTINGS, object_store, "off")

    @pytest.mark.parametrize("change", [None, ("trainer", "numNode"), ("trainer", "numNodes"), ("spec", "runtimeRef")])
    def test_it_is_one_that_the_sdk_knows(self, manifest, change):
        from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

        if change is None:
            assert as_the_sdk_reads(TrainerV1alpha1TrainJob, manifest) == manifest
            return
        place = manifest["spec"]["trainer"] if change[0] == "trainer" else manifest["spec"]
        place[change[1]] = "two"
        with pytest.raises((AssertionError, ValueError)):
            assert as_the_sdk_reads(TrainerV1alpha1TrainJob, manifest) == manifest

    def test_every_node_gets_what_was_asked_for(self, manifest):
        trainer = manifest["spec"]["trainer"]
        assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 4), "one process for each accelerator"
        rest = {"memory": "32Gi", "nvidia.com/gpu": "4"}
        assert trainer["resourcesPerNode"] == {"requests": {"cpu": "8", **rest}, "limits": rest}, "no limit of CPU"
        assert trainer["command"] == ["python3", "-m", "components.train.nodes.node", "0123456789abcdef"]
        assert manifest["spec"]["activeDeadlineSeconds"] == 7200
        pod = pod_of(manifest)
        assert (pod["nodeSelector"], pod["imagePullSecrets"]) == ({"gpu": "l4"}, [{"name": "registry"}])
        assert pod["tolerations"] == self.SETTINGS.tolerations
        assert {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]} == {"/tmp", "/dev/shm"}  # noqa: S108

    def test_keys_stand_in_no_manifest(self, manifest, object_store):
        from_secret = [item for item in manifest["spec"]["trainer"]["env"] if "valueFrom" in item]
        assert {item["name"]: item["valueFrom"]["secretKeyRef"]["key"] for item in from_secret} == {
            "AWS_ACCESS_KEY_ID": "key-id", "AWS_SECRET_ACCESS_KEY": "key",
        }  # fmt: skip
        assert object_store.secret_key.get_secret_value() not in yaml.safe_dump(manifest)

    def test_nodes_run_as_pod_security_restricted_asks(self, manifest):
        pod = pod_of(manifest)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        own = pod["containers"][0]["securityContext"]
        assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
        assert own["capabilities"] == {"drop": ["ALL"]}

    def test_its_name_is_one_for_the_same_inputs_and_another_for_others(self):
        inputs = {"dataset_digest": "d", "base_model": "b", "options": TWO_NODES, "settings": SETTINGS}
        others = [
            {"dataset_digest": "e"}, {"base_model": "c"}, {"options": TWO_NODES.model_copy(update={"seed": 1})},
            {"settings": SETTINGS.model_copy(update={"image": "registry.example.com/ranklift-train:2"})},
        ]  # fmt: skip
        names = [job_name(inputs_digest(**{**inputs, **other})) for other in ({}, {}, *others)]
        assert names[0] == names[1]
        assert len(set(names)) == 1 + len(others)
        assert all(re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name) for name in names)
        assert all(len(f"{name}-node-0-63-abcde") <= 63 for name in names), "and so are the names of its pods"


def pod_of(manifest):
    (patch,) = manifest["spec"]["runtimePatches"]
    assert re.fullmatch(r"[a-z0-9.-]+\.[a-z]+/[a-z]+", patch["manager"])
    (job,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    assert job["name"] == "node"
    return job["template"]["spec"]["template"]["spec"]


def as_the_sdk_reads(model, manifest):
    """The manifest as the SDK's models read and write it: a field that they do not know is not in it any more."""
    return model.from_dict(manifest).to_dict()
