"""What shapes a dataset version: every option of `prepare`, with its default."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from components.dataset.manifest import DEFAULT_SPLIT
from components.options import SEED, Options

DEMO_SOURCE = "demo://docstrings"
#: With fewer folds, not even a gain in every one of them would be significant at 5 %.
LEAST_FOLDS = 5
#: Judged queries below which they are cross-validated, unless the user says how many to hold out.
FEW_QUERIES = 200
#: The gate's test sees a sum of differences for each fold: of ten it tells what comes by chance once in a thousand.
DEFAULT_FOLDS = 10


class RawDataOptions(Options):
    """Where the raw data is."""

    stage: ClassVar[str] = "prepare"

    data: str = Field(DEMO_SOURCE, description=f"A file, a folder, s3://…, hf://datasets/… or {DEMO_SOURCE}.")


class PrepareOptions(Options):
    """The options of `prepare`; all of them go into the manifest."""

    stage: ClassVar[str] = "prepare"
    internal: ClassVar[frozenset[str]] = frozenset(
        {"max_seq_length_cap", "training_passages_in_corpus", "max_characters", "near_duplicates", "memory_limit"}
    )

    base_model: str = Field(
        "auto", description="Folder, hub id, s3://… or package://…; auto is the default model of the hub."
    )
    max_triplets: int = Field(0, ge=0, description="Train on at most this many triplets; 0 keeps all.")
    triplets_per_query: int = Field(1, ge=1, description="Train on at most this many triplets of one query_id.")
    max_seq_length: int = Field(0, ge=0, description="Tokens; 0 is the 99th percentile of the data.")
    max_seq_length_cap: int = Field(256, ge=8, description="The longest that the 99th percentile may ask for.")
    evaluation_queries: float = Field(
        1000, gt=0, description="Queries held out for the gate: a count, or a share below 1."
    )
    dev_queries: float = Field(
        200, gt=0, description="Queries held out to choose checkpoints by: a count, or a share below 1."
    )
    folds: int = Field(
        0,
        ge=0,
        le=50,
        description=(
            f"Cross-validate in so many folds; 0: in {DEFAULT_FOLDS} below {FEW_QUERIES} judged queries, 1: never."
        ),
    )
    strict_passages: bool = Field(
        False, description="Whether a relevant passage that training and evaluation share is a leak, too."
    )
    max_corpus: int = Field(10_000, ge=0, description="Passages in the evaluation corpus; 0 keeps all.")
    training_passages_in_corpus: bool = Field(
        False, description="Whether positives of training may be distractors of the evaluation."
    )
    evaluation_data: str = Field(
        "", description="A BEIR folder or dataset version to judge on, in place of held-out queries."
    )
    evaluation_split: str = Field(DEFAULT_SPLIT, description="Which qrels of a BEIR folder.")
    on_leak: Literal["error", "drop"] = Field(
        "error", description="When training and evaluation share texts: error, or drop them from training."
    )
    max_characters: int = Field(50_000, ge=1, description="Longer texts are dropped.")
    near_duplicates: float = Field(
        0.8, ge=0, le=1, description="Jaccard similarity of words from which on texts are near duplicates; 0 is off."
    )
    languages: tuple[str, ...] = Field(
        (), description="Keep only texts of these languages, such as en,de (ISO 639-1); empty keeps all."
    )
    false_negatives: int = Field(
        0, ge=0, description="Score this many triplets with the base model and report negatives that look right."
    )
    query_generator: str = Field(
        "",
        description="A text generator that writes queries to train on: folder, hub id or s3://…; empty is none.",
    )
    queries_per_passage: int = Field(1, ge=1, le=10, description="Queries that the generator writes for a passage.")
    generated_queries: int = Field(
        1000, ge=1, le=100_000, description="Queries that the generator writes in all, at most."
    )
    memory_limit: str = Field("750MB", description="For DuckDB, which spills to disk beyond it.")

    seed: int = SEED

    @field_validator("languages", mode="before")
    @classmethod
    def _between_commas(cls, value: Any) -> Any:
        return tuple(code.strip() for code in value.split(",") if code.strip()) if isinstance(value, str) else value

    @field_validator("folds")
    @classmethod
    def _judge_something(cls, value: int) -> int:
        if 1 < value < LEAST_FOLDS:
            raise ValueError(f"not even a gain in each of {value} folds is significant; give {LEAST_FOLDS} or more")
        return value

    @model_validator(mode="after")
    def _leave_some_to_train_on(self) -> Self:
        shares = [share for share in (self.evaluation_queries, self.dev_queries) if share < 1]
        if sum(shares) >= 1:
            raise ValueError(
                f"evaluation_queries {self.evaluation_queries} and dev_queries {self.dev_queries} leave no query to "
                "train on; give shares that sum to less than 1"
            )
        return self
