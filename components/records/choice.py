"""A choice: the base model that is recommended, why, and what every candidate measured."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from components.records.document import Document
from components.records.measurement import Measurement


class Candidate(BaseModel):
    """One base model beside the others."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    base_model: str
    zero_shot: float  #: mean NDCG@10 over the dev queries, untouched
    trained: float  #: the same after the short training
    texts_per_second: float
    latency_ms: float
    model_bytes: int
    dimension: int
    max_seq_length: int
    behind: float  #: NDCG@10 after training minus that of the best candidate: 0 for the best, below 0 for the others
    interval: tuple[float, float] | None  #: of `behind`, paired bootstrap over the queries; None for the best
    dominated_by: str = ""  #: a candidate that is at least as good, fast and small, and better in one of them

    @property
    def on_front(self) -> bool:
        """Tell whether it is on the Pareto front: no other candidate is at least as good in everything."""
        return not self.dominated_by


class Choice(Document):
    """The recommendation, and the measurements behind it."""

    noun: ClassVar[str] = "choice of a base model"
    remedy: ClassVar[str] = "`ranklift choose --models A,B --data URI -o FILE` writes one"

    format: int = 1
    base_model: str  #: the recommended one
    reason: str  #: one or two sentences that say why
    candidates: list[Candidate]  #: those that were measured, the best first
    failed: dict[str, str]  #: the others: base model → reason
    margin: float  #: NDCG@10 that a faster model may be behind the best
    confidence: float = 0.95
    queries: int  #: dev queries; the test set is never read
    dataset_digest: str
    bm25: float | None
    warnings: list[str]
    measurements: list[Measurement]
