"""How the nodes of a TrainJob are to be: what `train_job` in stages.yaml comes to, on its way to the stage."""

import json
import os
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.errors import RankliftError
from components.kubernetes.account import KUBEFLOW, pod_namespace

VARIABLE = "RANKLIFT_TRAIN_JOB"
RUNTIME = "torch-distributed"
DEADLINE = 6 * 3600  # seconds


class TrainJobSettings(BaseModel):
    """One JSON object in ``RANKLIFT_TRAIN_JOB``; the pipeline writes it there from stages.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str  #: that has ranklift and torch: the train stage's
    secret: str  #: with the object store's keys, in the namespace of the runs
    keys: dict[str, str]  #: key in the Secret → the variable that it becomes
    namespace: str = Field(default_factory=lambda: pod_namespace() or KUBEFLOW)
    runtime: str = RUNTIME  #: the ClusterTrainingRuntime
    deadline: int = Field(DEADLINE, ge=1)  #: seconds that the nodes may train
    cpu: str | None = None  #: requested
    cpu_limit: str | None = None
    memory: str | None = None
    accelerator: str | None = None  #: the resource's name, such as nvidia.com/gpu
    accelerators: int = Field(0, ge=0)  #: on each node
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: list[dict[str, Any]] = Field(default_factory=list)
    image_pull_secrets: list[str] = Field(default_factory=list)
    env: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def from_environment(cls) -> "TrainJobSettings":
        """Return the settings that the environment has.

        Raises:
            RankliftError: when it has none, or they cannot be used.
        """
        text = os.environ.get(VARIABLE)
        if not text:
            raise RankliftError(
                "Training on several nodes is a TrainJob of Kubeflow Trainer, and nothing says what its nodes are to "
                "be; add `train_job:` to the pipeline's settings (see stages.yaml), or train with --num-nodes 1."
            )
        try:
            return cls.model_validate(json.loads(text))
        except (ValueError, ValidationError) as error:
            fault = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "it is not JSON"
            raise RankliftError(
                f"{VARIABLE} cannot be used ({fault}); `train_job:` in stages.yaml writes it: compile the pipeline "
                "anew."
            ) from None
