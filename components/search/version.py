"""An index version: the vectors of one corpus by one model, and how they are searched.

    index.json                   this module's `IndexManifest`
    shards/00000.safetensors     vectors, ids, texts and content hashes of up to `shard_size` passages; see `shard.py`
    graphs/00000.usearch         a graph for `graph.shards` shards each; none where the search is exact

Passages lie in ascending order of their ids (by UTF-8 bytes): a passage's position is its place in that order, through
all shards. Everything here can be mapped into memory; nothing needs torch, pyarrow or a database.
"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from components.errors import DataError
from components.machine.digest import records_sha256
from components.model.served import Similarity
from components.records.document import Document

INDEX = "index.json"
SHARDS = "shards"
GRAPHS = "graphs"

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Storage = Literal["float32", "float16", "int8"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class IndexedModel(_Part):
    """The model that embedded the passages; queries must come from the same one."""

    version: str  #: such as "V3"; empty for a model that is not a version of the registry
    digest: Sha256  #: `EncoderConfig.digest`


class IndexedCorpus(_Part):
    """What was embedded."""

    source: str  #: the URI of the corpus
    digest: Sha256  #: over the ids and texts, in order of the ids
    passages: int = Field(ge=1)
    dropped: dict[str, int] = Field(default_factory=dict)  #: rows left out, by reason


class ShardEntry(_Part):
    """One shard."""

    passages: int = Field(ge=1)
    content: Sha256  #: over the ids and texts of its passages
    sha256: Sha256  #: of its file


class Graph(_Part):
    """The graphs (HNSW) that are searched in place of all vectors; what they find is scored again with the vectors."""

    engine: Literal["usearch"] = "usearch"
    storage: Storage  #: of the vectors in the graph
    shards: int = Field(ge=1)  #: that one graph covers
    connectivity: int = Field(ge=2)  #: neighbours of a node
    expansion_add: int = Field(ge=1)
    expansion_search: int = Field(ge=1)  #: candidates that a search keeps
    sha256: list[Sha256]  #: of the file of each graph


class Verification(_Part):
    """What was proven before anything was switched, on the dataset's queries."""

    queries: int = Field(ge=1)
    dataset_digest: str = ""  #: of the evaluation set; empty where the queries came from elsewhere
    recall: float = Field(ge=0, le=1)  #: share of the ten best by exact search in fp32 that the index finds
    min_recall: float = Field(ge=0, le=1)
    ndcg_exact: float | None = None  #: NDCG@10 of exact search; None where the corpus is not the judged one
    ndcg_index: float | None = None  #: NDCG@10 through the index
    max_ndcg_drop: float = Field(ge=0)


class Build(_Part):
    """How it was made."""

    embedded: int = Field(ge=0)  #: passages
    copied: int = Field(ge=0)  #: passages whose vectors came from the previous index
    previous: str = ""  #: of that index: the first digits of its corpus digest
    seconds: float = Field(ge=0)
    code_version: str = ""


class IndexManifest(Document):
    """``index.json``: everything that a reader of an index must know before it answers with it."""

    noun: ClassVar[str] = "manifest of an index"
    remedy: ClassVar[str] = "make an index with `ranklift index MODEL --corpus URI -o DIR`"

    format: Literal[1] = 1
    model: IndexedModel
    corpus: IndexedCorpus
    similarity: Similarity  #: scores are inner products; of a model compared by cosine the vectors have length 1
    dimension: int = Field(gt=0)
    storage: Storage  #: of the vectors in the shards
    has_texts: bool  #: whether the shards keep the beginning of each text
    shard_size: int = Field(ge=1)  #: passages in every shard but the last
    shards: list[ShardEntry] = Field(min_length=1)
    graph: Graph | None = None  #: None: every search is exact
    verification: Verification | None = None  #: None: there was no query to verify with
    build: Build

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        sizes = [entry.passages for entry in self.shards]
        if sum(sizes) != self.corpus.passages:
            raise ValueError(f"its shards have {sum(sizes)} passages, and its corpus {self.corpus.passages}")
        if any(size != self.shard_size for size in sizes[:-1]) or sizes[-1] > self.shard_size:
            raise ValueError(f"a shard has another size than {self.shard_size}")
        if self.graph is not None and len(self.graph.sha256) != -(-len(sizes) // self.graph.shards):
            raise ValueError(f"it has {len(self.graph.sha256)} graphs for {len(sizes)} shards")
        return self

    @property
    def count(self) -> int:
        """Passages in the index."""
        return self.corpus.passages

    @property
    def digest(self) -> str:
        """The index digest: over the model, the corpus and every file that is searched."""
        graphs = self.graph.sha256 if self.graph is not None else []
        return records_sha256([self.model.digest, self.corpus.digest, *(it.sha256 for it in self.shards), *graphs])

    @property
    def files(self) -> dict[str, str]:
        """The SHA-256 of every file beside ``index.json``, by name."""
        graphs = self.graph.sha256 if self.graph is not None else []
        named = {shard_name(number): entry.sha256 for number, entry in enumerate(self.shards)}
        return named | {graph_name(number): sha256 for number, sha256 in enumerate(graphs)}

    @classmethod
    def of(cls, directory: Path) -> "IndexManifest":
        """Return the manifest of the index in a folder.

        Raises:
            DataError: when the folder holds no index.
        """
        if not (directory / INDEX).is_file():
            raise DataError(f"{directory} is not an index: it has no {INDEX}; {cls.remedy}.")
        return cls.read(directory / INDEX)


def shard_name(number: int) -> str:
    """Return the file of a shard, below the index's folder."""
    return f"{SHARDS}/{number:05}.safetensors"


def graph_name(number: int) -> str:
    """Return the file of a graph, below the index's folder."""
    return f"{GRAPHS}/{number:05}.usearch"
