"""Kubeflow Pipelines: its version in the cluster, and whether it answers here."""

from components.kubernetes.account import KUBEFLOW
from pipeline.cluster.pipelines_api import PipelinesApi, PipelinesSettings
from pipeline.doctor.cluster import Cluster
from pipeline.doctor.kserve import version_of
from pipeline.doctor.result import Check, Result, ok, skipped

_OLDEST = (2, 15)


def check_version(cluster: Cluster) -> Result:
    """Whether KFP is there and new enough."""
    return version_of(cluster, KUBEFLOW, "ml-pipeline", "Kubeflow Pipelines", _OLDEST)


def check_endpoint(settings: PipelinesSettings) -> Result:
    """Whether `ranklift submit` can speak to it from here."""
    if settings.endpoint is None:
        return skipped("no --endpoint was given; `kubectl port-forward -n kubeflow svc/ml-pipeline 8888` opens one")
    return ok(f"{PipelinesApi(settings).endpoint} answers")


CLUSTER_CHECKS = (Check("Kubeflow Pipelines", check_version),)
ENDPOINT_CHECKS = (Check("KFP endpoint", check_endpoint),)
