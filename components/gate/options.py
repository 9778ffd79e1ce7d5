"""What the gate asks of a candidate."""

import math
from dataclasses import dataclass, fields
from typing import Any

from components.errors import RankliftError

_WHOLE = ("min_slice_queries", "max_model_bytes", "resamples", "seed")
_PROBABILITIES = ("alpha", "power", "confidence")


@dataclass(frozen=True)
class GateOptions:
    """The gate's limits, with defaults for a catalogue or documentation search of ordinary size.

    A guard whose limit is None is switched off; the decision record says so.

    Attributes:
        min_gain: smallest gain in mean NDCG@10 that is worth a new model. A new model costs a new encoding of every
            stored document, and half a point of NDCG@10 is one relevant passage in 75 queries that moves from rank 2 to
            rank 1: below that nobody notices, however significant it is.
        alpha: largest p-value of the one-sided paired randomisation test.
        min_score: floor on the candidate's own NDCG@10: a model below it ranks next to nothing, also when the champion
            is worse.
        max_recall_drop: how far mean Recall@100 may fall: what a re-ranker behind this model never sees is lost.
        max_slice_drop: how far mean NDCG@10 may fall in a slice, when the fall is significant (Holm over all slices).
        min_slice_queries: slices with fewer queries are not judged.
        max_latency_ms: longest median time to encode one query alone, milliseconds.
        max_model_bytes: largest size of the served files, bytes.
        resamples: of the randomisation test and of the bootstrap.
        confidence: of the bootstrap interval.
        power: at which the minimum detectable effect is stated.
        seed: of both; the same score files and options give the same decision, bit for bit.
    """

    min_gain: float = 0.005
    alpha: float = 0.05
    min_score: float | None = 0.05
    max_recall_drop: float | None = 0.02
    max_slice_drop: float | None = 0.02
    min_slice_queries: int = 30
    max_latency_ms: float | None = 200.0
    max_model_bytes: int | None = 2 << 30
    resamples: int = 10_000
    confidence: float = 0.95
    power: float = 0.8
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            self._check(field.name, getattr(self, field.name))
        # The smallest p-value that can be drawn is 1 / (resamples + 1).
        if self.resamples * self.alpha < 1:
            raise RankliftError(
                f"resamples is {self.resamples}, too few for a p-value below alpha = {self.alpha:g}; "
                f"give at least {math.ceil(1 / self.alpha):g}, or a larger alpha."
            )

    def _check(self, name: str, value: Any) -> None:
        if value is None and GateOptions.__annotations__[name] in (float | None, int | None):
            return
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise RankliftError(f"{name} is {value!r}, which is no number; {_example(name)}.")
        if name in _WHOLE and not isinstance(value, int):
            raise RankliftError(f"{name} is {value!r}, which is no whole number; {_example(name)}.")
        if name in _PROBABILITIES and not 0 < value < 1:
            raise RankliftError(f"{name} is {value!r}, which is not between 0 and 1; {_example(name)}.")
        if not 0 <= value < float("inf"):
            raise RankliftError(f"{name} is {value!r}, which is negative or not finite; {_example(name)}.")


def _example(name: str) -> str:
    return f"give for example {getattr(GateOptions, name)}"
