"""The few settings that are about this machine and not about a run; read from the environment when asked for."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class MachineSettings(BaseSettings):
    """What the environment says about this machine.

    ``RANKLIFT_HOME`` is where ranklift keeps its data, ``.ranklift`` in the working folder by default;
    ``RANKLIFT_CACHE`` is where stages keep what they may reuse in a later run, nowhere by default;
    ``RANKLIFT_SERVING_URL`` is the predictor that serves what `deploy` puts into the data folder, when it is no process
    that `ranklift serve` started: in containers, ``http://predictor:8080``.
    """

    model_config = SettingsConfigDict(env_prefix="RANKLIFT_", extra="ignore")

    home: Path = Path(".ranklift")
    cache: Path | None = None
    serving_url: str = Field("", pattern=r"^(https?://[^/\s]+)?$")


def home_directory() -> Path:
    """Return the absolute path of ranklift's data folder."""
    return MachineSettings().home.absolute()


def cache_directory(name: str) -> Path | None:
    """Return the folder of one cache; None where nothing is to be kept between runs."""
    cache = MachineSettings().cache
    return cache.absolute() / name if cache else None


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
    deploy_within: Annotated[float, Field(gt=0)] = 540.0  #: seconds for the new version to answer, else a rollback
    canary_percent: Annotated[int, Field(ge=0, le=99)] = 0  #: of the traffic, before all of it; 0: no canary
    canary_seconds: Annotated[float, Field(ge=0)] = 60.0  #: for which the canary must answer

    @property
    def on_cluster(self) -> bool:
        """Whether a cluster serves."""
        if self.serving != "auto":
            return self.serving == "cluster"
        names = (self.kubernetes_namespace, self.kubernetes_context, self.inference_service)
        if any(name is not None for name in names):
            return True
        return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and _POD.is_dir()

    @property
    def namespace(self) -> str:
        """The namespace of the InferenceService."""
        if self.kubernetes_namespace is not None:
            return self.kubernetes_namespace
        return pod_namespace() or "ranklift"

    @property
    def name(self) -> str:
        """The name of the InferenceService."""
        return self.inference_service or "ranklift"


_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def pod_namespace() -> str:
    """Return the namespace of the pod that this process runs in; empty where it runs in none."""
    own = _POD / "namespace"
    return own.read_text(encoding="utf-8").strip() if own.is_file() else ""


def serving_url() -> str:
    """Where the predictor answers that is no process of this machine; empty when none was named."""
    return MachineSettings().serving_url
