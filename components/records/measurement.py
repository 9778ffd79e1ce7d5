"""A measurement: what one base model is worth on a dataset, untouched and after a short training."""

from statistics import fmean
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from components.records.document import Document


class Measured(BaseModel):
    """The numbers of a base model that could be measured."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    dataset_digest: str  #: of the evaluation set that the dev queries make
    zero_shot: dict[str, float]  #: NDCG@10 by dev query, of the untouched model
    trained: dict[str, float]  #: the same after the short training
    bm25: float | None  #: NDCG@10 of BM25 on the same queries
    corpus_size: int  #: passages that the queries were searched in
    texts_per_second: float  #: encoded by the served model
    latency_ms: float  #: median time to encode one query alone
    model_bytes: int  #: of the served files
    dimension: int
    max_seq_length: int  #: tokens that the model reads, as `prepare` would choose them for it
    precision: str  #: of serving
    processor: str  #: where the speed was measured: speeds of two processors do not compare
    training: dict[str, Any]  #: recipe, examples, steps, seconds
    notes: list[str] = Field(default_factory=list)

    @property
    def quality(self) -> float:
        """Return NDCG@10 after the short training."""
        return fmean(self.trained.values())

    @property
    def untouched(self) -> float:
        """Return NDCG@10 of the base model as it comes."""
        return fmean(self.zero_shot.values())

    @model_validator(mode="after")
    def _same_queries(self) -> Self:
        if not self.trained or self.trained.keys() != self.zero_shot.keys():
            raise ValueError("the base model and the trained model were not measured on the same queries")
        return self


class Measurement(Document):
    """A base model's numbers, or why there are none."""

    noun: ClassVar[str] = "measurement of a base model"
    remedy: ClassVar[str] = "`ranklift choose --models A,B --data URI` makes them"

    format: int = 1
    base_model: str
    measured: Measured | None = None
    failure: str = ""  #: one sentence; empty where the model was measured

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.measured is None) != bool(self.failure):
            raise ValueError("a base model has either numbers or a reason why it has none")
        return self
