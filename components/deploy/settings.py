"""What deploy and rollback move, as the environment says."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from components.kubernetes.account import is_pod, pod_namespace

#: Of the InferenceService and its namespace, unless something else says otherwise.
NAME = "ranklift"
HTTP_PORT = 8080  #: of a predictor
GRPC_PORT = 8081
DEPLOY_WITHIN = 540.0  # seconds
CANARY_PERCENT = 0
CANARY_SECONDS = 60.0


class ServingSettings(BaseSettings):
    """What deploy and rollback move: the predictor of this machine, or an InferenceService of a cluster.

    ``RANKLIFT_SERVING`` says which: ``machine`` or ``cluster``. Left at ``auto`` it is the cluster when
    ``RANKLIFT_KUBERNETES_NAMESPACE``, ``RANKLIFT_KUBERNETES_CONTEXT`` or ``RANKLIFT_INFERENCE_SERVICE`` is set or the
    process runs in a pod, and the machine otherwise.
    """

    model_config = SettingsConfigDict(env_prefix="RANKLIFT_", extra="ignore", env_ignore_empty=True)

    serving: Literal["auto", "machine", "cluster"] = "auto"
    kubernetes_namespace: str | None = None  #: of the InferenceService; the pod's own, else "ranklift", when None
    inference_service: str | None = None  #: its name; "ranklift" when None
    kubernetes_context: str | None = None  #: of kubectl's configuration; the pod's own cluster, else the current one
    predictor_url: Annotated[str | None, Field(pattern="^https?://")] = None  #: in place of what KServe says
    #: Seconds for the new version to answer, else a rollback.
    deploy_within: Annotated[float, Field(gt=0)] = DEPLOY_WITHIN
    #: Of the traffic, before all of it goes to the new version; 0: no canary.
    canary_percent: Annotated[int, Field(ge=0, le=99)] = CANARY_PERCENT
    canary_seconds: Annotated[float, Field(ge=0)] = CANARY_SECONDS  #: for which the canary must answer

    @property
    def on_cluster(self) -> bool:
        """Whether a cluster serves."""
        if self.serving != "auto":
            return self.serving == "cluster"
        names = (self.kubernetes_namespace, self.kubernetes_context, self.inference_service)
        if any(name is not None for name in names):
            return True
        return is_pod()

    @property
    def namespace(self) -> str:
        """The namespace of the InferenceService."""
        if self.kubernetes_namespace is not None:
            return self.kubernetes_namespace
        return pod_namespace() or NAME

    @property
    def name(self) -> str:
        """The name of the InferenceService."""
        return self.inference_service or NAME
