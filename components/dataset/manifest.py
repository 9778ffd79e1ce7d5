"""A dataset version: a directory that is written once and described by its manifest.

``train.parquet`` and ``dev.parquet`` hold triplets, ``dev_corpus.parquet`` passages to search dev queries in;
``corpus.parquet``, ``queries.parquet`` and ``qrels.parquet`` hold the frozen evaluation set as BEIR and TREC define
one; ``manifest.json`` says where all of it came from.
"""

from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from components.records.document import Document

TRAIN = "train.parquet"  #: query_id, query, positive, negative (all strings)
DEV = "dev.parquet"  #: the same columns, a row for each positive; read by training's evaluator, never by `evaluate`
DEV_CORPUS = "dev_corpus.parquet"  #: text (strings): what dev queries are searched in during training
CORPUS = "corpus.parquet"  #: passage_id, text (strings)
QUERIES = "queries.parquet"  #: query_id, query (strings), and any further columns that the user's queries carry
QRELS = "qrels.parquet"  #: query_id, passage_id (strings), relevance (int32, graded)
PAIRS = "pairs.parquet"  #: as TRAIN, of the collection's own texts; only where judged queries are few and it has titles
FOLDS = "folds.parquet"  #: query_id (string), fold (int32, from 0); only where all judged queries are cross-validated
MANIFEST = "manifest.json"
PROFILE = "profile.html"
DATA_FILES = (TRAIN, DEV, DEV_CORPUS, CORPUS, QUERIES, QRELS)
#: Of a BEIR folder, the qrels that are evaluated on when no others are named.
DEFAULT_SPLIT = "test"


#: What the query_id of a training triplet begins with whose query a generator wrote.
GENERATED = "generated:"


class Triplet(NamedTuple):
    """One training example: a query, a passage that answers it, and one that does not."""

    query_id: str
    query: str
    positive: str
    negative: str


class Rule(BaseModel):
    """What one filter did to the raw data: how many rows it dropped, or found and kept, and a few of them to read."""

    model_config = ConfigDict(extra="forbid")

    name: str
    description: str
    dropped: int
    kept: int = 0  #: rows that it found and left as they are: worth knowing, and nothing wrong
    examples: list[dict[str, Any]] = Field(default_factory=list)


class Percentiles(BaseModel):
    """Token lengths of one column: special tokens included, truncation not applied."""

    model_config = ConfigDict(extra="forbid")

    p50: int
    p95: int
    p99: int
    longest: int


class DatasetManifest(Document):
    """``manifest.json``: everything a reader needs to trust a dataset version and to make it again."""

    noun: ClassVar[str] = "dataset manifest"
    remedy: ClassVar[str] = "make a dataset version with `ranklift prepare URI -o DIR`"

    format: int = 1
    digest: str  #: over the content of the data files
    evaluation_digest: str  #: over corpus, queries and qrels alone: two score files are comparable when it is equal
    source: str
    source_digest: str
    seed: int
    base_model: str  #: the base model that the lengths were measured for, already resolved ("auto" never stands here)
    max_seq_length: int  #: tokens; chosen from the 99th percentile unless the user gave one
    folds: int = 0  #: parts that the judged queries are cross-validated in; 0 where queries were held out instead
    counts: dict[str, int]  #: rows by file name without ".parquet"
    token_lengths: dict[str, Percentiles]  #: by column: query, positive, negative
    rules: list[Rule]
    settings: dict[str, Any]  #: every parameter of `prepare` that shaped the result
    #: queries that a generator wrote, which are among the training triplets: whose, how many, and what was left out
    generated: dict[str, Any] | None = None
    false_negatives: dict[str, Any] | None = None  #: negatives that the base model prefers, when `prepare` was asked

    @classmethod
    def of(cls, directory: Path) -> "DatasetManifest":
        """Return the manifest of the dataset version in a directory.

        Raises:
            DataError: when there is none, or it is not a manifest.
        """
        return cls.read(directory / MANIFEST)
