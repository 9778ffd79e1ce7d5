"""A model version: a directory that sentence-transformers opens and that the predictor serves without torch."""

import os
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from components.errors import ModelError
from components.machine.digest import tree_sha256
from components.records.document import Document

ENCODER_CONFIG = "encoder.json"
GRAPH = "encoder.xml"  #: OpenVINO IR; its weights lie beside it as encoder.bin
WEIGHTS = "encoder.bin"
TOKENIZER = "tokenizer.json"
MODEL_NAME = "ranklift"  #: by which requests name the model in service, whatever its version
INDEX_SUFFIX = ".index"  #: of the link beside a served model's folder

Precision = Literal["fp32", "bf16", "int8"]
Similarity = Literal["cosine", "dot"]


class Parity(Document):
    """How close the exported graph stays to `SentenceTransformer.encode`, in cosine, on real texts."""

    texts: int
    minimum: float
    mean: float
    tolerance: float  #: the smallest minimum that `export` lets pass


class EncoderConfig(Document):
    """``encoder.json``: everything that turns text into the judged vectors, and the files for it."""

    noun: ClassVar[str] = "encoder.json"
    remedy: ClassVar[str] = "export the model with `ranklift export MODEL -o DIR --data DATASET`"

    format: Literal[1] = 1
    base_model: str
    dimension: int = Field(gt=0)  #: length of an embedding
    max_seq_length: int = Field(gt=0)  #: tokens, special tokens included; longer texts are cut at the end
    precision: Precision  #: of inference; "bf16" and "int8" were chosen by `export`, judged by `evaluate`
    pooling: str  #: for people: it is inside the graph
    normalized: bool  #: the graph returns vectors of length 1
    similarity: Similarity  #: how a query and a document are compared
    query_prompt: str = ""  #: put before every query
    document_prompt: str = ""  #: put before every document
    pad_token_id: int = 0
    #: shorter lengths that an embedding may be cut to, of a model that was trained for it (MatryoshkaLoss)
    matryoshka_dimensions: list[int] = Field(default_factory=list)
    inputs: list[str]  #: names of the graph's inputs, each int64 (batch, tokens)
    files: dict[str, str]  #: sha256 of every file that serving reads, by name
    parity: Parity | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_not_set(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A predictor of before refuses fields that it does not know.
        fields: dict[str, Any] = write(self)
        if not self.matryoshka_dimensions:
            fields.pop("matryoshka_dimensions", None)
        return fields

    @field_validator("files")
    @classmethod
    def _served_files(cls, value: dict[str, str]) -> dict[str, str]:
        # The names come from a file that somebody else may have written: nothing outside the folder is ever opened.
        if value.keys() != {GRAPH, WEIGHTS, TOKENIZER}:
            raise ValueError(f"must name {GRAPH}, {WEIGHTS} and {TOKENIZER}, and nothing else")
        return value

    @property
    def digest(self) -> str:
        """The model digest: over the served files and the settings that change an embedding."""
        settings = self.model_dump_json(include=_SETTINGS_IN_DIGEST)
        return tree_sha256({**self.files, "settings": settings})

    @classmethod
    def of(cls, directory: Path) -> "EncoderConfig":
        """Return the configuration of the exported model in a directory.

        Raises:
            ModelError: when the directory holds no exported model.
        """
        path = directory / ENCODER_CONFIG
        if not path.is_file():
            raise ModelError(f"{directory} is not an exported model: it has no {ENCODER_CONFIG}; {cls.remedy}.")
        return cls.read(path)


def index_beside(directory: Path) -> Path | None:
    """Return the folder of the index that a served model is searched with; None where it has none.

    ``RANKLIFT_INDEX`` names it; else it is what the link beside the model's folder says: ``serving/V3.index`` for
    ``serving/V3``, to which ``serving/current`` may be a link.
    """
    if named := os.environ.get("RANKLIFT_INDEX"):
        return Path(named)
    resolved = directory.resolve()
    beside = resolved.with_name(f"{resolved.name}{INDEX_SUFFIX}")
    return beside.resolve() if beside.is_dir() else None


_SETTINGS_IN_DIGEST = {
    "dimension", "max_seq_length", "precision", "normalized", "similarity", "query_prompt", "document_prompt",
    "pad_token_id", "inputs",
}  # fmt: skip


def refuse_empty_files(sizes: dict[Path, int]) -> None:
    """Raise a ModelError when a file of a model has no bytes.

    KServe's storage initializer skips such files, and the predictor then finds a model that is not whole.
    """
    empty = sorted(str(path) for path, size in sizes.items() if size == 0)
    if empty:
        raise ModelError(
            f"{empty[0]} is empty, and KServe does not fetch files of zero bytes: the model would not be whole where "
            "it serves; remove the file, or export a base model that does without it."
        )
