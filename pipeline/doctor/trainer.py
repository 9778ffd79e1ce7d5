"""Kubeflow Trainer, where a run may train on several nodes."""

from components.kubernetes.fields import name_of
from components.kubernetes.kinds import Kind
from pipeline.doctor.cluster import Cluster
from pipeline.doctor.result import Check, Result, ok, skipped, wrong

_RUNTIMES = Kind("trainer.kubeflow.org", "v1alpha1", "clustertrainingruntimes")


def check_runtime(cluster: Cluster) -> Result:
    """Whether Kubeflow Trainer is there, and has the runtime that the nodes are to have."""
    wanted = cluster.settings.train_job
    if wanted is None:
        return skipped("no run may train on several nodes: the settings have no train_job")
    found = cluster.listed(_RUNTIMES)
    if found is None:
        return wrong("the settings have train_job, and Kubeflow Trainer is not installed", "install 2.3 or newer")
    names = [name_of(runtime) for runtime in found]
    if wanted.runtime not in names:
        there = f"there are {', '.join(sorted(names))}" if names else "there is none at all"
        return wrong(
            f"there is no ClusterTrainingRuntime {wanted.runtime}, which train_job names; {there}",
            "apply manifests/overlays/runtimes of Kubeflow Trainer, or name another with `runtime`",
        )
    return ok(f"Kubeflow Trainer has the runtime {wanted.runtime}")


CHECKS = (Check("Kubeflow Trainer", check_runtime),)
