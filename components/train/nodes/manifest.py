"""The TrainJob that trains on several nodes, as Kubeflow Trainer v2 takes it (trainer.kubeflow.org/v1alpha1)."""

import json
from typing import Any

from components.kubernetes.kinds import Manifest
from components.machine.digest import records_sha256
from components.object_store.settings import ObjectStoreSettings
from components.train.nodes.settings import TrainJobSettings
from components.train.options import TrainOptions

_DIGITS = 16  # of a digest, in names: a pod's name is the job's and some 16 characters more, and has at most 63
_CONTAINER = "node"  # as Trainer's runtimes of the kind torch name the job and its container
_MANAGER = "ranklift.dev/train"
_USER = 10001  # the images' own


def inputs_digest(dataset_digest: str, base_model: str, options: TrainOptions, settings: TrainJobSettings) -> str:
    """One short name for all inputs of a training on several nodes; safe in the names of Kubernetes and S3.

    Args:
        dataset_digest: of the dataset version.
        base_model: the digest of its folder, or its name where nodes get it by that.
        options: how to train.
        settings: how the nodes are.
    """
    records = [dataset_digest, base_model, options.model_dump_json(exclude={"base_model"}), settings.model_dump_json()]
    return records_sha256(records)[:_DIGITS]


def job_name(digest: str) -> str:
    """Return the name of the TrainJob of these inputs: the same inputs are the same TrainJob."""
    return f"ranklift-train-{digest}"


def train_job(
    digest: str, options: TrainOptions, settings: TrainJobSettings, store: ObjectStoreSettings, checkpoints: str
) -> Manifest:
    """Return the TrainJob's manifest.

    Args:
        digest: `inputs_digest`.
        options: how to train; `num_nodes` nodes with `processes` each, one for each accelerator when that is 0.
        settings: how the nodes are.
        store: where the nodes find their inputs; its keys are not in the manifest, which names the Secret instead.
        checkpoints: where they keep theirs, as ``RANKLIFT_CHECKPOINTS`` says it.
    """
    processes = processes_per_node(options, settings)
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {
            "name": job_name(digest),
            "namespace": settings.namespace,
            "labels": {"app.kubernetes.io/part-of": "ranklift", "app.kubernetes.io/component": "train"},
        },
        "spec": {
            "runtimeRef": {"name": settings.runtime},
            "activeDeadlineSeconds": settings.deadline,
            "trainer": {
                "image": settings.image,
                "command": ["python3", "-m", "components.train.nodes.node", digest],
                "numNodes": options.num_nodes,
                "numProcPerNode": processes,
                "resourcesPerNode": _resources(settings),
                "env": [*_environment(settings, store, checkpoints), *_keys(settings)],
            },
            "runtimePatches": [
                {
                    "manager": _MANAGER,
                    "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [_patch(settings, processes)]}}},
                }
            ],
        },
    }


def processes_per_node(options: TrainOptions, settings: TrainJobSettings) -> int:
    """How many processes train on each node."""
    return options.processes or max(1, settings.accelerators)


def _resources(settings: TrainJobSettings) -> dict[str, dict[str, str]]:
    asked = {"memory": settings.memory}
    if settings.accelerator is not None and settings.accelerators:
        asked[settings.accelerator] = str(settings.accelerators)
    kinds = {"requests": {**asked, "cpu": settings.cpu}, "limits": {**asked, "cpu": settings.cpu_limit}}
    found = {kind: {name: value for name, value in sorted(values.items()) if value} for kind, values in kinds.items()}
    return {kind: values for kind, values in found.items() if values}


def _environment(settings: TrainJobSettings, store: ObjectStoreSettings, checkpoints: str) -> list[dict[str, Any]]:
    values = {
        "RANKLIFT_S3_ENDPOINT": store.endpoint,
        "RANKLIFT_S3_BUCKET": store.bucket,
        "RANKLIFT_S3_VIRTUAL_HOST": json.dumps(store.virtual_host),
        "AWS_REGION": store.region,
        "RANKLIFT_CHECKPOINTS": checkpoints,
        # A container that failed and is started again finds its node's checkpoints there.
        "RANKLIFT_CACHE": "/tmp/cache",  # noqa: S108 - the pod's own
        **settings.env,
    }
    return [{"name": name, "value": value} for name, value in sorted(values.items())]


def _keys(settings: TrainJobSettings) -> list[dict[str, Any]]:
    return [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": settings.secret, "key": key}}}
        for key, variable in sorted(settings.keys.items())
    ]


def _patch(settings: TrainJobSettings, processes: int) -> dict[str, Any]:
    """Return what the runtime leaves open: where nodes run, and that they may harm nothing."""
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {}}]
    mounts = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - the pod's own
    if processes > 1:
        # NCCL's processes on one node speak through shared memory, of which a container has 64 MB.
        volumes.append({"name": "shared-memory", "emptyDir": {"medium": "Memory"}})
        mounts.append({"name": "shared-memory", "mountPath": "/dev/shm"})  # noqa: S108 - the pod's own
    container = {
        "name": _CONTAINER,
        "volumeMounts": mounts,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    pod: dict[str, Any] = {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": volumes,
        "containers": [container],
    }
    if settings.node_selector:
        pod["nodeSelector"] = settings.node_selector
    if settings.tolerations:
        pod["tolerations"] = settings.tolerations
    if settings.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    return {"name": _CONTAINER, "template": {"spec": {"template": {"spec": pod}}}}
