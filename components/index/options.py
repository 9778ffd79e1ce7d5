"""What shapes an index: every option of the stage, with its default."""

from typing import ClassVar, Literal

from pydantic import Field

from components.options import Options

#: As a corpus: that of the dataset version that the model was judged on.
DATASET = "dataset"
MIN_RECALL = 0.98


class CorpusOptions(Options):
    """Which passages are embedded."""

    stage: ClassVar[str] = "index"

    corpus: str = Field(
        "",
        description="Passages to embed with the promoted model: dataset, a file, a folder, s3://…, hf://… or postgresql://….",
    )


class WorkerOptions(Options):
    """How many embed it."""

    stage: ClassVar[str] = "index"

    workers: int = Field(
        1,
        ge=1,
        le=1000,
        description="Pods that embed the corpus, a range of its shards each; set when the pipeline is compiled.",
    )


class IndexOptions(Options):
    """The options of `index`; those that change the result are part of the plan by which it is resumed."""

    stage: ClassVar[str] = "index"
    internal: ClassVar[frozenset[str]] = frozenset(
        {"exact_up_to", "shard_size", "graph_shards", "connectivity", "expansion_add", "queries"}
    )

    min_recall: float = Field(
        MIN_RECALL,
        ge=0,
        le=1,
        description="Of the ten best passages by exact search, the share that must be found.",
    )
    max_ndcg_drop: float = Field(
        0.005, ge=0, le=1, description="How far NDCG@10 through the index may be below the exact one."
    )
    texts: int = Field(2000, ge=0, description="Characters of each text that the index stores; 0 stores none.")
    storage: Literal["float16", "float32"] = Field("float16", description="How the vectors are stored.")
    exact_up_to: int = Field(20_000, ge=0, description="Passages that are searched without a graph.")
    #: What a stage that is killed loses at most.
    shard_size: int = Field(16_384, ge=1, description="Passages in a shard.")
    #: The memory that building takes.
    graph_shards: int = Field(8, ge=1, description="Shards that one graph covers.")
    connectivity: int = Field(16, ge=2, description="Neighbours of a passage in the graph.")
    expansion_add: int = Field(128, ge=1, description="Candidates that are looked at for each passage of the graph.")
    queries: int = Field(1000, ge=1, description="Queries of the dataset to verify with.")
