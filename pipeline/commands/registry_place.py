"""Which registry a command means: this machine's, or that of a cluster that an option or the environment names."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from components.kubernetes.account import KUBEFLOW
from pipeline.commands.options import Context, Namespace, StoreSettings
from pipeline.console import tell

if TYPE_CHECKING:
    from components.deploy.settings import ServingSettings
    from components.kubernetes.api import KubernetesApi
    from components.registry.registry import Registry
    from pipeline.cluster.store import Place
    from pipeline.settings.file import PipelineSettings


class Where(NamedTuple):
    """What `--context`, `--namespace` and `--settings` say; the registry is a cluster's when any of them is there."""

    context: Context = None
    namespace: Namespace = None
    settings: StoreSettings = None

    @property
    def on_cluster(self) -> bool:
        """Whether a cluster is named."""
        return any(item is not None for item in self)

    def serving(self) -> "ServingSettings":
        """Who serves: the cluster that is named, else what the environment says.

        Where the environment names a cluster and no object store, the registry is that cluster's too: see `resolved`.
        """
        from components.deploy.settings import ServingSettings

        serving = ServingSettings()
        if not self.on_cluster:
            return serving
        stated = self.stages()
        there = stated.serving if stated is not None else None
        return serving.model_copy(
            update={
                "serving": "cluster",
                "kubernetes_context": self.context or serving.kubernetes_context,
                "kubernetes_namespace": self.namespace or (there and there.namespace) or serving.kubernetes_namespace,
                "inference_service": serving.inference_service or (there and there.inference_service),
            }
        )

    def stages(self) -> "PipelineSettings | None":
        """Return the settings of the stages; None where no file was named."""
        from pipeline.settings.file import PipelineSettings

        return PipelineSettings.read(self.settings) if self.settings is not None else None

    def resolved(self) -> "Where":
        """With the cluster that the environment says serves: it has its own registry, unless the environment names an
        object store as well."""
        from components.deploy.settings import ServingSettings
        from components.object_store.settings import ObjectStoreSettings

        serving = ServingSettings()
        if self.on_cluster or not serving.on_cluster or ObjectStoreSettings.from_environment() is not None:
            return self
        return Where(namespace=serving.namespace)


@contextmanager
def registry_at(where: Where) -> Iterator["Registry"]:
    """Open the registry; for a cluster's, print bucket, endpoint and Secret on standard error.

    Raises:
        RankliftError: when it cannot be found or reached.
    """
    from components.machine.settings import home_directory
    from components.registry.registry import open_registry
    from pipeline.local.run import configured_store

    where = where.resolved()
    if not where.on_cluster:
        with configured_store(home_directory()):
            yield open_registry()
        return
    from pipeline.cluster.registry import cluster_registry

    api, place = cluster_at(where)
    with cluster_registry(api, place, where.stages()) as registry:
        tell(f"ranklift: the registry is {registry.access}, in the cluster at {api.host}")
        yield registry


def cluster_at(where: Where) -> "tuple[KubernetesApi, Place]":
    """Return the cluster, and where in it to look."""
    from components.kubernetes.api import KubernetesApi
    from pipeline.cluster.pipelines_api import PipelinesSettings
    from pipeline.cluster.store import Place

    serving = where.serving()
    api = KubernetesApi.connect(serving.kubernetes_context)
    return api, Place(serving.namespace, serving.name, PipelinesSettings().namespace or KUBEFLOW)
