"""Kubeflow Trainer, where a run may train on several nodes."""

from components.kubernetes_api import Kind, KubernetesError
from pipeline.doctor.cluster import Cluster
from pipeline.doctor.result import Check, Result, ok, skipped, wrong

_RUNTIMES = Kind("trainer.kubeflow.org", "v1alpha1", "clustertrainingruntimes")


def check_runtime(cluster: Cluster) -> Result:
    """Whether Kubeflow Trainer is there, and has the runtime that the nodes are to have."""
    wanted = cluster.settings.train_job
    if wanted is None:
        return skipped("No run may train on several nodes: the settings have no train_job.")
    try:
        names = [runtime["metadata"]["name"] for runtime in cluster.api.select(_RUNTIMES)]
    except KubernetesError as error:
        if error.status != 404:
            raise
        return wrong("the settings have train_job, and Kubeflow Trainer is not installed", "install 2.3 or newer")
    if wanted.runtime not in names:
        there = f"there are {', '.join(sorted(names))}" if names else "there is none at all"
        return wrong(
            f"there is no ClusterTrainingRuntime {wanted.runtime}, which train_job names; {there}",
            "apply manifests/overlays/runtimes of Kubeflow Trainer, or name another with `runtime`",
        )
    return ok(f"Kubeflow Trainer has the runtime {wanted.runtime}")


CHECKS = (Check("Kubeflow Trainer", check_runtime),)
