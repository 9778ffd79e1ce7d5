"""A decision: the gate's verdict with every number that it used."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from components.records.document import Document

_LINE = "ranklift: decision: "
Verdict = Literal["promote", "hold"]


class Guard(BaseModel):
    """One condition of the gate: what was measured, what was allowed, and whether that passed."""

    model_config = ConfigDict(extra="forbid")

    name: str
    value: float | None
    limit: float | None
    passed: bool
    reason: str = ""  #: one sentence for a person


class Decision(Document):
    """The decision record."""

    noun: ClassVar[str] = "decision record"
    remedy: ClassVar[str] = "`ranklift gate CANDIDATE.json CHAMPION.json -o FILE` writes one"

    format: int = 1
    verdict: Verdict
    reason: str  #: one sentence that says why
    metric: str = "ndcg@10"
    candidate: float
    champion: float
    delta: float  #: candidate minus champion, mean over queries
    confidence_interval: tuple[float, float]  #: of delta: paired bootstrap, or Student's over folds
    confidence: float = 0.95
    p_value: float  #: one-sided paired randomisation test: probability of this delta were the two models equal
    queries: int
    folds: int = 0  #: of the cross-validation that the candidate's scores are from; 0 where queries were held out
    min_gain: float
    alpha: float
    guards: list[Guard]
    candidate_model: str
    champion_model: str
    candidate_digest: str
    champion_digest: str
    dataset_digest: str
    minimum_detectable_effect: float | None = None
    #: {metric: {query_id: score}} of a candidate that was cross-validated: once it is champion, and knows the answers
    #: to these queries, they are what the next candidate is compared with.
    out_of_fold: dict[str, dict[str, float]] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)  #: resamples, seed, …

    def line(self) -> str:
        """Return the record without scores by query, as the line of a log that `submit --follow` reads again."""
        return f"{_LINE}{self.model_dump_json(exclude={'out_of_fold'})}"

    @classmethod
    def find(cls, log: str) -> "Decision | None":
        """Return the record that a log tells last; None where it tells none.

        Raises:
            DataError: when this ranklift cannot read its format.
        """
        lines = [line.split(_LINE, 1)[1] for line in log.splitlines() if _LINE in line]
        return cls.parse(lines[-1].encode(), "the stage's log") if lines else None

    @property
    def method(self) -> str:
        """How the candidate was judged, for a person."""
        if not self.folds:
            return "on queries that were held out of training"
        return (
            f"by cross-validation in {self.folds} folds: each query with a model that was trained without it; the "
            "model itself is trained on all of them"
        )
