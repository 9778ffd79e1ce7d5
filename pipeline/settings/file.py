"""One file of settings for a cluster: what each stage needs there, where the object store is, what deploy changes.

The same pipeline compiles with and without it; nothing in the code changes from a laptop to a cluster.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from components.deploy.settings import CANARY_PERCENT, CANARY_SECONDS, DEPLOY_WITHIN, NAME
from components.errors import RankliftError
from components.object_store.settings import BUCKET, REGION
from components.train.checkpoints.settings import CHECKPOINTS
from components.train.nodes.settings import DEADLINE, RUNTIME
from pipeline.images import TARGET_OF, image_tag
from pipeline.settings.units import duration, seconds

STAGES = ("source", "prepare", "measure", "choose", "train", "export", "champion", "evaluate", "gate", "promote",
          "index", "deploy", "hold")  # fmt: skip
SECRETS_FOLDER = "/var/run/secrets/ranklift"
ACCOUNT_FOLDER = "/var/run/secrets/ranklift-account"  #: the token of an account that one stage alone has

_SECRET_NAMES = re.compile(r"SECRET|PASSWORD|TOKEN|ACCESS_KEY|CREDENTIAL", re.IGNORECASE)
_DNS = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONG = 7 * 86400  # seconds: an attempt that has no time-out
_START = 600  # seconds that a pod may need to start: a node and an image are fetched

DnsName = Annotated[str, StringConstraints(pattern=_DNS, max_length=253)]
EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Duration = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*[smhd]$")]
Cpu = Annotated[str, StringConstraints(pattern=r"^([0-9]+(\.[0-9]+)?|[0-9]+m)$")]
Memory = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(E|P|T|G|M|K|Ei|Pi|Ti|Gi|Mi|Ki)?$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Accelerator(_Part):
    """What a stage computes on besides the CPU."""

    type: str = Field(min_length=1)  #: the resource's name, such as nvidia.com/gpu
    count: int = Field(1, ge=1)


class Retries(_Part):
    """How often a stage is retried whose pod went away, and how long KFP waits before."""

    count: int = Field(ge=0, le=20)
    #: Before the first retry, and before Argo says that there is none: what cannot succeed fails so much later.
    wait: Duration = "5s"
    factor: int = Field(2, ge=1, le=10)  #: by which each further wait is longer; Argo takes whole numbers alone
    #: All attempts and waits together: Argo kills what still runs then. By default the time that they can take.
    within: Duration | None = None

    def waits(self) -> int:
        """Seconds of all the waits."""
        return sum(seconds(self.wait) * self.factor**number for number in range(self.count))


class Toleration(_Part):
    """One taint that a stage's pod may be scheduled on, in Kubernetes' own words."""

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoExecute", "NoSchedule", "PreferNoSchedule"] | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError("an Exists toleration has no value; leave value out, or use operator: Equal")
        if self.key is None and self.operator != "Exists":
            raise ValueError("a toleration without a key needs operator: Exists")
        return self


class PodSettings(_Part):
    """How a pod is to be; what is left out is the cluster's default."""

    image: str | None = None  #: with a tag or digest; {stage} stands for the stage's image, {tag} for this commit's
    image_pull_secrets: tuple[DnsName, ...] = ()
    cpu: Cpu | None = None  #: requested, such as "2" or "500m"
    cpu_limit: Cpu | None = None  #: none by default: a stage takes what the node has to spare
    memory: Memory | None = None  #: requested and limited, such as 4Gi
    accelerator: Accelerator | None = None
    node_selector: Mapping[str, str] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    env: Mapping[EnvironmentName, str] = Field(default_factory=dict)

    @field_validator("image")
    @classmethod
    def _is_pinned(cls, value: str | None) -> str | None:
        if value is None:
            return None
        name = value.rpartition("/")[2]
        if "@sha256:" not in value and (":" not in name or name.endswith(":latest")):
            raise ValueError(
                f"{value!r} has no fixed tag, and KFP caches by the image's name; give for example "
                "registry.example.com/ranklift-{stage}:3f2c1ab"
            )
        return value

    @field_validator("env")
    @classmethod
    def _has_no_secret(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name in value:
            if _SECRET_NAMES.search(name):
                raise ValueError(
                    f"{name} would stand in the compiled pipeline for all to read; "
                    "keep it in a Secret and name that under object_store"
                )
        return value


class StageSettings(PodSettings):
    """What one stage needs; what is left out is KFP's or the cluster's default."""

    retries: Retries | None = None
    timeout: Duration | None = None  #: for the stage's pod, such as 2h
    patience: Duration | None = None  #: how long the store or the hub may be away before the stage fails

    def window(self) -> int:
        """Seconds for all attempts of the stage: what the settings say, or what they can take."""
        if self.retries is None or self.retries.within is not None:
            return seconds(self.retries.within) if self.retries and self.retries.within else 0
        one = seconds(self.timeout) if self.timeout else _LONG
        return (self.retries.count + 1) * (one + _START) + self.retries.waits()


class TrainJob(PodSettings):
    """The nodes that train when a run asks for more than one; without an image they have the train stage's."""

    runtime: DnsName = RUNTIME  #: a ClusterTrainingRuntime of Kubeflow Trainer
    deadline: Duration = duration(DEADLINE)  #: that the nodes may train
    token_secret: DnsName | None = None  #: of the account that may make TrainJobs; the runs' own when None


class ObjectStoreAccess(_Part):
    """Where the stages find the object store, and the Secret with its keys; the keys themselves are never written."""

    endpoint: str = Field(pattern=r"^https?://[^/@]+/?$")
    bucket: str = BUCKET
    region: str = REGION
    secret: DnsName  #: a Secret in the namespace of the runs
    mount: Literal["files", "env"] = "files"
    #: Where train keeps its checkpoints: ``store`` is this bucket, ``off`` the pod's disk alone, gone with the pod.
    checkpoints: str = Field("store", pattern=CHECKPOINTS)
    #: Key in the Secret → the variable it becomes. Mounted as files, the keys must have the variables' names already.
    keys: Mapping[str, EnvironmentName] = Field(
        default_factory=lambda: {name: name for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    )

    @field_validator("checkpoints", mode="before")
    @classmethod
    def _off_is_no_truth_value(cls, value: Any) -> Any:
        return "off" if value is False else value  # as YAML reads a plain `off`

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        if self.mount == "files" and any(key != name for key, name in self.keys.items()):
            raise ValueError("keys can be renamed with mount: env alone; a file has the name that its key has")
        return self


class Serving(_Part):
    """The InferenceService that deploy changes."""

    namespace: DnsName = NAME
    inference_service: DnsName = NAME
    canary_percent: int = Field(CANARY_PERCENT, ge=0, le=99)  #: of the traffic, before all of it; 0: no canary
    canary_time: Duration = duration(CANARY_SECONDS)  #: how long the canary must answer
    ready_within: Duration = duration(DEPLOY_WITHIN)
    token_secret: DnsName | None = None  #: of the account that may change it; the runs' own when None


class PipelineSettings(_Part):
    """The whole file."""

    service_account: DnsName | None = None  #: that the runs' pods have; KFP's own default when None
    pipeline_root: str | None = Field(None, pattern=r"^(s3|minio|gs)://")  #: where KFP keeps the runs' artifacts
    object_store: ObjectStoreAccess | None = None
    serving: Serving | None = None
    train_job: TrainJob | None = None  #: allows a run to ask for several nodes
    defaults: StageSettings = StageSettings()
    stages: Mapping[Literal[STAGES], StageSettings] = Field(default_factory=dict)  # type: ignore[valid-type]

    @classmethod
    def read(cls, path: Path) -> "PipelineSettings":
        """Read and check the file.

        Raises:
            RankliftError: with one sentence that names the file, the field and what would do.
        """
        import yaml

        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RankliftError(
                f"The settings file {path} cannot be read ({error.strerror}); check the path."
            ) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise RankliftError(f"{path} is not YAML ({_where(error)}); see stages.yaml for an example.") from error
        if not isinstance(content, dict):
            raise RankliftError(f"{path} holds no settings; it needs a line such as `stages:`, see stages.yaml.")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise RankliftError(_sentence(path, error)) from None

    @model_validator(mode="after")
    def _nodes_have_a_store(self) -> Self:
        if self.train_job is not None and self.object_store is None:
            raise ValueError(
                "train_job needs object_store: the nodes get their data from there, and put the model there"
            )
        return self

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        for stage in STAGES:
            _check_times(stage, self.of(stage))
        return self

    def of(self, stage: str) -> StageSettings:
        """Return what one stage needs: the file's defaults, its own entries over them, field by field."""
        own = self.stages.get(stage, StageSettings())
        merged: dict[str, Any] = {name: getattr(self.defaults, name) for name in self.defaults.model_fields_set}
        merged |= {name: getattr(own, name) for name in own.model_fields_set}
        merged["env"] = {**self.defaults.env, **own.env}
        if image := merged.get("image"):
            merged["image"] = named_image(image, stage)
        return StageSettings.model_construct(**merged)


def _check_times(stage: str, chosen: StageSettings) -> None:
    timeout = seconds(chosen.timeout) if chosen.timeout else _LONG
    if chosen.patience and seconds(chosen.patience) >= timeout:
        raise ValueError(
            f"stage {stage} has the patience {chosen.patience} and is killed after {chosen.timeout}; give it less "
            "patience, or a longer timeout"
        )
    if chosen.retries and chosen.retries.within and seconds(chosen.retries.within) < timeout:
        raise ValueError(
            f"stage {stage} may run for {chosen.timeout or 'ever'} and all its attempts together for "
            f"{chosen.retries.within}, which kills the first one; leave retries.within out, or make it longer"
        )


def named_image(image: str, stage: str) -> str:
    """Return an image with the stage's name and this commit's tag in place of ``{stage}`` and ``{tag}``."""
    image = image.replace("{stage}", TARGET_OF[stage])
    return image.replace("{tag}", image_tag()) if "{tag}" in image else image


def _where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or type(error).__name__
    return f"line {mark.line + 1}: {problem}" if mark is not None else str(problem)


def _sentence(path: Path, error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in fault["loc"] if part != "[key]") or "the file"
    if fault["type"] == "extra_forbidden":
        return f"{path}: there is no setting {place}; remove it, or see stages.yaml for the names."
    if fault["type"] == "literal_error" and fault["loc"][:1] == ("stages",) and len(fault["loc"]) <= 3:
        return f"{path}: {fault['input']!r} is not a stage; the stages are {', '.join(STAGES)}."
    given = "" if fault["type"] in {"missing", "value_error"} else f" {fault['input']!r} is invalid:"
    message = fault["msg"].removeprefix("Value error, ")
    example = _EXAMPLES.get(str(fault["loc"][-1]), "") if fault["loc"] else ""
    return f"{path}: {place}:{given} {message}{f'; give for example {example}' if example else ''}."


_EXAMPLES = {
    "cpu": "2 or 500m", "memory": "4Gi", "timeout": "2h", "wait": "30s", "within": "12h", "factor": "2",
    "patience": "10m", "canary_time": "5m", "cpu_limit": "2",
    "ready_within": "9m", "checkpoints": "store, off or s3://ranklift/team-a", "endpoint": "http://minio.ranklift.svc:9000",
    "pipeline_root": "s3://ranklift/runs", "count": "2", "canary_percent": "10",
}  # fmt: skip
