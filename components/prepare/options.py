"""What shapes a dataset version: every parameter of `prepare`, with its default."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from components.errors import DataError

#: With fewer folds, not even a gain in every one of them would be significant at 5 %.
LEAST_FOLDS = 5


class PrepareOptions(BaseModel):
    """The parameters of `prepare`; all of them go into the manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_model: str = "auto"  #: folder, hub id or packaged model whose tokenizer measures the lengths
    seed: int = 42
    max_triplets: int = Field(default=0, ge=0)  #: upper limit of training triplets; 0 for all
    triplets_per_query: int = Field(default=1, ge=1)  #: at most so many training triplets for one query_id
    max_seq_length: int = Field(default=0, ge=0)  #: tokens; 0 takes the 99th percentile of the token lengths
    max_seq_length_cap: int = Field(default=256, ge=8)  #: the longest that the 99th percentile may ask for
    evaluation_queries: float = Field(default=1000, gt=0)  #: held out to evaluate on: a count, or a share when below 1
    dev_queries: float = Field(default=200, gt=0)  #: held out for the evaluator during training: a count, or a share
    folds: int = Field(default=0, ge=0, le=50)  #: cross-validate in so many; 1: never, 0: ten where queries are few
    strict_passages: bool = False  #: whether a relevant passage that training and evaluation share is a leak
    max_corpus: int = Field(default=10_000, ge=0)  #: passages in the evaluation corpus; 0 for all
    training_passages_in_corpus: bool = False  #: whether positives of training may be distractors of the evaluation
    evaluation_source: str = ""  #: a BEIR folder or dataset version to evaluate on, in place of held-out queries
    evaluation_split: str = "test"  #: which qrels of a BEIR folder
    on_leak: Literal["error", "drop"] = "error"  #: what to do with training rows that the evaluation set shares
    max_characters: int = Field(default=50_000, ge=1)  #: longer texts are dropped
    near_duplicates: float = Field(default=0.8, ge=0, le=1)  #: Jaccard similarity of words from which on; 0 is off
    languages: tuple[str, ...] = ()  #: ISO 639-1 codes to keep; empty keeps all and detects nothing
    false_negatives: int = Field(default=0, ge=0)  #: triplets to score with the base model for the report on them
    memory_limit: str = "750MB"  #: for DuckDB, which spills to disk beyond it

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


def prepare_options(*, languages: str = "", **values: Any) -> PrepareOptions:
    """Options from what a command line or a pipeline's parameters give; `languages` are codes between commas.

    Raises:
        DataError: when a value will not do; the sentence names it.
    """
    codes = tuple(code.strip() for code in languages.split(",") if code.strip())
    try:
        return PrepareOptions(languages=codes, **values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        given = f"{name} = {first['input']!r} is invalid" if name else "The options are invalid"
        raise DataError(f"{given} for `prepare`: {first['msg']}.") from error
