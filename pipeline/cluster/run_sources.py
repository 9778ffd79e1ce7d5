"""Where one can read how a run goes: Kubeflow Pipelines first, then the cluster, where there is a kubeconfig."""

from collections.abc import Callable
from typing import Any, TypeVar

from components.deploy.settings import ServingSettings
from components.errors import RankliftError
from components.kubernetes.api import KubernetesApi
from components.kubernetes.errors import KubernetesError
from components.kubernetes.kinds import EVENTS, WORKFLOWS, Manifest
from pipeline.cluster.pipelines_api import PipelinesApi, UnavailableError

_LOG_LINES = 2000
_T = TypeVar("_T")


class RunSources:
    """Both places of one run. What one cannot give is asked of the other; what neither can, is told once.

    Args:
        api: Kubeflow Pipelines.
        run_id: of the run.
        namespace: of the run's pods.
    """

    def __init__(self, api: PipelinesApi, run_id: str, namespace: str) -> None:
        self._api, self._run_id, self._namespace = api, run_id, namespace
        self._cluster: KubernetesApi | None = None
        self._no_cluster = ""
        self.missing = ""  #: why the last of what was asked for could not be read; empty when it could

    def workflow(self) -> dict[str, Any]:
        """Argo's workflow of the run; empty where neither place shows it."""
        return self._either(lambda: self._api.workflow(self._run_id), self._workflow_there) or {}

    def log(self, pod: str) -> str:
        """Return the log of a pod of the run; empty where neither place has it."""
        return (
            self._either(
                lambda: self._api.log(self._run_id, pod, self._namespace),
                lambda cluster: cluster.log_tail(self._namespace, pod, "main", False, _LOG_LINES),
            )
            or ""
        )

    def why_pending(self, pod: str) -> str:
        """Return the last warning about a pod, else its last event; empty when the cluster has neither."""
        return self._either(lambda: "", lambda cluster: self._event(cluster, pod)) or ""

    def _either(self, first: Callable[[], _T], second: Callable[[KubernetesApi], _T]) -> _T | None:
        """Return what the first place gives; what the second does where the first has nothing."""
        self.missing = ""
        try:
            if found := first():
                return found
        except UnavailableError as error:
            self.missing = str(error)
        cluster = self._connected()
        if cluster is None:
            self.missing = " ".join(filter(None, [self.missing, self._no_cluster]))
            return None
        try:
            found = second(cluster)
        except KubernetesError as error:
            self.missing = " ".join(filter(None, [self.missing, str(error)]))
            return None
        self.missing = self.missing if not found else ""
        return found

    def _connected(self) -> KubernetesApi | None:
        if self._cluster is None and not self._no_cluster:
            try:
                self._cluster = KubernetesApi.connect(ServingSettings().kubernetes_context)
            except RankliftError as error:
                self._no_cluster = str(error)
        return self._cluster

    def _workflow_there(self, cluster: KubernetesApi) -> dict[str, Any]:
        found = cluster.select(WORKFLOWS, self._namespace, f"pipeline/runid={self._run_id}")
        return found[0] if found else {}

    def _event(self, cluster: KubernetesApi, pod: str) -> str:
        events = cluster.select(EVENTS, self._namespace, fields=f"involvedObject.name={pod}")
        warnings = [event for event in events if event.get("type") == "Warning"]
        last = max(warnings or events, key=_moment, default={})
        return ": ".join(filter(None, [last.get("reason"), " ".join(str(last.get("message") or "").split())]))


def _moment(event: Manifest) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")
