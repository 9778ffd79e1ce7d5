"""What the gate asks of a candidate: thresholds, and guards that are set or switched off by name."""

import math
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import ErrorDetails

from components.errors import RankliftError
from components.options import Options

OFF = "off"
#: The guards that have a limit to set or to switch off.
GUARDS = ("min_score", "max_recall_drop", "max_slice_drop", "max_latency_ms", "max_model_bytes")


class _Thresholds(Options):
    """What the headline must show."""

    stage: ClassVar[str] = "gate"

    # A new model costs a new encoding of every stored document, and half a point of NDCG@10 is one relevant passage in
    # 75 queries that moves from rank 2 to rank 1: below that nobody notices, however significant it is.
    min_gain: float = Field(0.005, ge=0, le=1, description="Smallest gain in mean NDCG@10 that is worth a promotion.")
    alpha: float = Field(0.05, gt=0, lt=1, description="Promote only when the p-value of the gain is below this.")


class GateOptions(_Thresholds):
    """The gate's limits, with defaults for a catalogue or documentation search of ordinary size.

    A guard whose limit is None is switched off; the decision record says so.
    """

    # A model below it ranks next to nothing, also when the champion is worse.
    min_score: float | None = Field(0.05, ge=0, le=1, description="Floor on the candidate's own NDCG@10.")
    # What a re-ranker behind this model never sees is lost.
    max_recall_drop: float | None = Field(0.02, ge=0, le=1, description="How far mean Recall@100 may fall.")
    max_slice_drop: float | None = Field(
        0.02, ge=0, le=1, description="How far mean NDCG@10 may fall in a slice, when the fall is significant (Holm)."
    )
    min_slice_queries: int = Field(30, ge=0, description="Slices with fewer queries are not judged.")
    max_latency_ms: float | None = Field(200.0, ge=0, description="Longest median time to encode one query, in ms.")
    max_model_bytes: int | None = Field(2 << 30, ge=0, description="Largest size of the served files, in bytes.")
    resamples: int = Field(10_000, ge=1, description="Resamples of the randomisation test and of the bootstrap.")
    confidence: float = Field(0.95, gt=0, lt=1, description="Confidence of the bootstrap interval.")
    power: float = Field(0.8, gt=0, lt=1, description="Power at which the smallest detectable gain is stated.")
    #: The same score files and options give the same decision, bit for bit.
    seed: int = Field(0, ge=0, description="Seed of the randomisation test and of the bootstrap.")

    @classmethod
    def _complaint(cls, fault: ErrorDetails) -> str:
        sentence = super()._complaint(fault)
        can_be_off = bool(fault["loc"]) and fault["loc"][0] in GUARDS
        return f"{sentence.removesuffix('.')}, or {OFF} to switch the guard off." if can_be_off else sentence

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_truth_value(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("it must be a number")
        return value

    @model_validator(mode="after")
    def _can_be_significant(self) -> Self:
        # The smallest p-value that can be drawn is 1 / (resamples + 1).
        if self.resamples * self.alpha < 1:
            raise ValueError(
                f"resamples = {self.resamples} is too few for a p-value below alpha = {self.alpha:g}; "
                f"give at least {math.ceil(1 / self.alpha):g}, or a larger alpha"
            )
        return self


#: What `guards` may name.
GUARD_NAMES = [name for name in GateOptions.model_fields if name not in _Thresholds.model_fields]


class GateParameters(_Thresholds):
    """The gate's options as a command line and a pipeline's parameters give them."""

    guards: dict[str, float | str] = Field(
        default_factory=dict,
        description="NAME=LIMIT or NAME=off of a guard, such as max_recall_drop=0.05.",
    )

    @model_validator(mode="after")
    def _are_options(self) -> Self:
        self.options()
        return self

    def options(self) -> GateOptions:
        """Return all options of the gate.

        Raises:
            RankliftError: when there is no such guard, or its limit is invalid.
        """
        for name, limit in self.guards.items():
            if name not in GUARD_NAMES:
                raise RankliftError(f"There is no guard {name!r}; use one of {', '.join(sorted(GUARD_NAMES))}.")
            if limit == OFF and name not in GUARDS:
                raise RankliftError(f"{name} cannot be switched off; give it a number.")
        limits = {name: None if limit == OFF else limit for name, limit in self.guards.items()}
        return GateOptions.of(min_gain=self.min_gain, alpha=self.alpha, **limits)
