"""What shapes an index: every setting of the stage, with its default."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.errors import DataError


class IndexOptions(BaseModel):
    """The settings of `index`; those that change the result are part of the plan by which it is resumed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    min_recall: float = Field(0.98, ge=0, le=1)  #: of the ten best by exact search, the share that must be found
    max_ndcg_drop: float = Field(0.005, ge=0, le=1)  #: of NDCG@10 through the index below the exact value
    texts: int = Field(2000, ge=0)  #: characters of every text that the index keeps; 0 for none
    storage: Literal["float16", "float32"] = "float16"  #: of the vectors
    exact_up_to: int = Field(20_000, ge=0)  #: passages that are searched without a graph
    shard_size: int = Field(16_384, ge=1)  #: passages in a shard: what a killed stage loses at most
    graph_shards: int = Field(8, ge=1)  #: shards that one graph covers: the memory that building takes
    connectivity: int = Field(16, ge=2)
    expansion_add: int = Field(128, ge=1)
    queries: int = Field(1000, ge=1)  #: of the dataset, to verify with


def index_options(**values: Any) -> IndexOptions:
    """Options from what a command line or a pipeline's parameters give.

    Raises:
        DataError: when a value is invalid; the sentence names it.
    """
    try:
        return IndexOptions(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise DataError(f"{name} = {first['input']!r} is invalid for `index`: {first['msg']}.") from error
