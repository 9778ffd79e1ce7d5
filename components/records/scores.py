"""A score file: what one model scored on one evaluation set, query by query."""

import json
from typing import Any, ClassVar

from pydantic import Field, field_validator

from components.records.document import Document

HEADLINE = "ndcg@10"


class ScoreFile(Document):
    """The result of `evaluate`, and the only input of `gate`.

    ``per_query[metric][query_id]`` is a number in [0, 1]. The headline also stands at the top of the JSON document
    under ``"ndcg@10"``.
    """

    noun: ClassVar[str] = "score file"
    remedy: ClassVar[str] = "make one with `ranklift evaluate MODEL --data DATASET -o FILE`"

    format: int = 1
    headline: float = Field(alias=HEADLINE, ge=0, le=1)
    metrics: dict[str, float]  #: means over all judged queries
    per_query: dict[str, dict[str, float]]
    slices: dict[str, dict[str, list[str]]] = Field(default_factory=dict)  #: {slicing: {slice: [query_id]}}
    dataset_digest: str  #: digest of the evaluation set (corpus, queries, qrels)
    model_digest: str
    model: str  #: a name for people
    encoder: dict[str, Any]  #: the encoder's settings: precision, max_seq_length, prompts, …
    corpus_size: int
    texts_per_second: float | None = None
    seconds: float | None = None
    latency_ms: float | None = None  #: median time to encode one query alone, milliseconds
    model_bytes: int | None = None  #: bytes of the served files
    evaluation_set: str = ""  #: a name for people
    depth: int | None = None  #: passages in a ranking; MAP is over that many
    cached: bool = False  #: the embeddings were read from the cache; `texts_per_second` is from when they were made
    baselines: dict[str, dict[str, float]] = Field(default_factory=dict)  #: {"bm25": {metric: mean}}
    top: dict[str, list[str]] = Field(default_factory=dict)  #: the ten best passage ids by query_id, best first
    first_relevant: dict[str, int] = Field(default_factory=dict)  #: rank of the best relevant passage, where found
    folds: dict[str, int] = Field(
        default_factory=dict
    )  #: fold by query_id, where scores are those of a cross-validation
    notes: list[str] = Field(default_factory=list)  #: what was left out, one sentence each

    @field_validator("per_query")
    @classmethod
    def _same_queries(cls, value: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        if HEADLINE not in value:
            raise ValueError(f'has no "{HEADLINE}"')
        if len({frozenset(scores) for scores in value.values()}) != 1:
            raise ValueError("the metrics were not measured on the same queries")
        return value

    def to_json(self) -> str:
        """Return the document as it is stored, headline first."""
        fields = self.model_dump(by_alias=True)
        return json.dumps({HEADLINE: fields.pop(HEADLINE), **fields}, indent=1, ensure_ascii=False)
