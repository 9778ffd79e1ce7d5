"""All checks, of what there is: the machine, its object store, and a cluster when one is configured."""

from pathlib import Path

from components.errors import RankliftError
from components.kubernetes_api import KubernetesApi, KubernetesError
from components.object_store_settings import ObjectStoreSettings
from pipeline.doctor import access, cluster, kserve, machine, pipelines, store, trainer
from pipeline.doctor.cluster import Cluster, Place
from pipeline.doctor.result import Result, run_checks, skipped, wrong
from pipeline.pipelines_api import PipelinesSettings
from pipeline.settings import PipelineSettings

_CLUSTER_CHECKS = (*cluster.CHECKS, *access.CHECKS, *kserve.CHECKS, *pipelines.CLUSTER_CHECKS, *trainer.CHECKS)


def examine(
    home: Path, place: Place, settings: PipelineSettings, given: PipelinesSettings, cluster_named: bool
) -> list[Result]:
    """Run the checks.

    Args:
        home: ranklift's data folder.
        place: where in the cluster to look.
        settings: of the stages, which name images and the Secret.
        given: Kubeflow Pipelines' endpoint, and who asks.
        cluster_named: whether the person asked about a cluster: not to find one is then wrong.
    """
    results = run_checks(machine.CHECKS, home)
    configured: ObjectStoreSettings | None = None
    try:
        configured = store.store_settings()
        results += run_checks(store.CHECKS, configured)
    except RankliftError as error:
        results.append(wrong(str(error))._replace(check="object store"))
    results += run_checks(pipelines.ENDPOINT_CHECKS, given)
    try:
        api = KubernetesApi.connect()
        api.version()
    except KubernetesError as error:
        found = wrong(str(error)) if cluster_named else skipped(str(error))
        return [*results, found._replace(check="Kubernetes")]
    return results + run_checks(_CLUSTER_CHECKS, Cluster(api, place, settings, configured))
