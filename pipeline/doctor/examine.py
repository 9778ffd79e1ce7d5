"""All checks, of what there is: the machine, its object store, and a cluster when one is configured."""

from pathlib import Path

from components.errors import RankliftError
from components.kubernetes.errors import KubernetesError
from components.kubernetes.forward import PodForward
from components.object_store.settings import ObjectStoreSettings
from pipeline.cluster.pipelines_api import PipelinesSettings
from pipeline.cluster.store import Place
from pipeline.doctor import access, cluster, kserve, limits, machine, pipelines, registry, store, trainer
from pipeline.doctor.cluster import Cluster
from pipeline.doctor.result import Result, run_checks, skipped, wrong
from pipeline.doctor.sound import SoundApi
from pipeline.settings.file import PipelineSettings

_CLUSTER_CHECKS = (
    *cluster.CHECKS, *access.CHECKS, *registry.CHECKS, *kserve.CHECKS, *limits.CHECKS, *pipelines.CLUSTER_CHECKS,
    *trainer.CHECKS,
)  # fmt: skip


def examine(
    home: Path,
    place: Place,
    settings: PipelineSettings,
    given: PipelinesSettings,
    named: bool,
    *,
    context: str | None = None,
) -> list[Result]:
    """Run the checks.

    Args:
        home: ranklift's data folder.
        place: where in the cluster to look.
        settings: of the stages, which name images and the Secret.
        given: Kubeflow Pipelines' endpoint, and who asks.
        named: whether the person asked about a cluster: not to find one is then wrong, and the registry is its.
        context: of kubectl's configuration; the current one when None.
    """
    results = [*run_checks(machine.CHECKS, home), *_this_store(named), *run_checks(pipelines.ENDPOINT_CHECKS, given)]
    try:
        api = SoundApi.connect(context)
        api.version()
    except KubernetesError as error:
        found = wrong(str(error)) if named else skipped(str(error))
        return [*results, found._replace(check="Kubernetes")]
    return results + examine_cluster(api, place, settings, context)


def examine_cluster(
    api: SoundApi, place: Place, settings: PipelineSettings, context: str | None = None
) -> list[Result]:
    """Run the checks of a cluster."""
    options = f" --namespace {place.serving}" + (f" --context {context}" if context else "")
    with PodForward(api) as forward:
        examined = Cluster(api, place, settings, forward, options)
        try:
            return run_checks(_CLUSTER_CHECKS, examined)
        finally:
            examined.close()


def _this_store(named: bool) -> list[Result]:
    """Return the checks of the store that this machine's environment names."""
    if named:
        why = skipped("a cluster is named, whose registry is looked at in place of this machine's")
        return [why._replace(check="object store")]
    configured: ObjectStoreSettings | None
    try:
        configured = store.store_settings()
    except RankliftError as error:
        return [wrong(str(error))._replace(check="object store")]
    return run_checks(store.CHECKS, configured)
