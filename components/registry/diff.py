"""How two model versions differ: in what they were made from, in their settings, in what they scored."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from components.errors import DataError, StoreError
from components.model.served import ENCODER_CONFIG, EncoderConfig
from components.records.decision import Decision
from components.records.document import Document
from components.registry.registry import Registry
from components.registry.version import VersionManifest, key_of, sha256_of


class Difference(BaseModel):
    """One thing that is not the same in both."""

    model_config = ConfigDict(extra="forbid")

    name: str
    left: Any
    right: Any


class ModelDiff(Document):
    """What `diff` found; a part that is equal in both is not listed."""

    noun: ClassVar[str] = "difference of two models"

    left: str
    right: str
    same_evaluation_set: bool  #: only then may the scores be compared
    data: list[Difference]  #: lineage
    settings: list[Difference]  #: of the encoder
    scores: list[Difference]  #: headline, gain over the champion of its day, and every guard, slices included
    files: list[Difference]  #: SHA-256 of the files that differ; None where one has no such file


def diff_models(registry: Registry, left: str, right: str) -> ModelDiff:
    """Compare two model versions.

    Raises:
        StoreError: when there is no such version, or its settings are damaged.
    """
    one, other = registry.manifest("model", left), registry.manifest("model", right)
    files = {name: (one.files.get(name), other.files.get(name)) for name in sorted(one.files | other.files)}
    return ModelDiff(
        left=left,
        right=right,
        same_evaluation_set=_evaluation_set(one) == _evaluation_set(other) is not None,
        data=_differences(one.lineage.model_dump(), other.lineage.model_dump()),
        settings=_differences(_settings(registry, one), _settings(registry, other)),
        scores=_differences(_scores(one.decision), _scores(other.decision)),
        files=[
            Difference(name=name, left=a.sha256 if a else None, right=b.sha256 if b else None)
            for name, (a, b) in files.items()
            if a != b
        ],
    )


def _evaluation_set(manifest: VersionManifest) -> str | None:
    return manifest.decision.dataset_digest if manifest.decision else None


def _settings(registry: Registry, manifest: VersionManifest) -> dict[str, Any]:
    key = key_of("model", manifest.version, ENCODER_CONFIG)
    content = registry.store.get(key).content
    if ENCODER_CONFIG not in manifest.files or sha256_of(content) != manifest.files[ENCODER_CONFIG].sha256:
        raise StoreError(f"{key} is not what was published; run `ranklift verify`.")
    try:
        return EncoderConfig.parse(content, key).model_dump(exclude={"files", "parity"})
    except DataError as error:
        raise StoreError(str(error)) from error


def _scores(decision: Decision | None) -> dict[str, Any]:
    if decision is None:
        return {}
    low, high = decision.confidence_interval
    return {
        decision.metric: decision.candidate,
        "gain": decision.delta,
        "gain, lower bound": low,
        "gain, upper bound": high,
        "p": decision.p_value,
        "queries": decision.queries,
        **{f"guard: {guard.name}": guard.value for guard in decision.guards},
    }


def _differences(left: dict[str, Any], right: dict[str, Any]) -> list[Difference]:
    return [
        Difference(name=name, left=left.get(name), right=right.get(name))
        for name in {**left, **right}
        if left.get(name) != right.get(name)
    ]
