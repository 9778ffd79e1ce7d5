"""Requests and answers of Hugging Face's text-embeddings-inference."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from predictor.api.schemas import DOCUMENTS, QUERY, Count, StrictRequest, Text, Texts, Versioned

TruncateField: Any = Field(
    None, description="false refuses texts that are longer than the model reads; they are cut at the end otherwise."
)


class TeiEmbedRequest(StrictRequest):
    """Texts to embed."""

    model_config = ConfigDict(json_schema_extra={"example": {"inputs": DOCUMENTS}})

    inputs: Annotated[str, Field(min_length=1)] | Annotated[Texts, Field(min_length=1)]
    normalize: bool | None = Field(
        None, description="false leaves embeddings as the model makes them; they have length 1 otherwise."
    )
    truncate: bool | None = TruncateField
    prompt_name: Literal["query", "document"] | None = Field(None, description="document when left out.")
    dimensions: Count | None = None


class TeiRerankRequest(StrictRequest):
    """A query and the texts to rank."""

    model_config = ConfigDict(json_schema_extra={"example": {"query": QUERY, "texts": DOCUMENTS}})

    query: Text = Field(min_length=1)
    texts: Texts = Field(min_length=1)
    raw_scores: bool | None = Field(None, description="Makes no difference: scores are similarities.")
    return_text: bool | None = None
    truncate: bool | None = TruncateField


class SimilarityInputs(StrictRequest):
    """A sentence and those to compare it with."""

    source_sentence: Text = Field(min_length=1)
    sentences: Texts = Field(min_length=1)


class SimilarityRequest(StrictRequest):
    """A sentence and those to compare it with."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"inputs": {"source_sentence": QUERY, "sentences": DOCUMENTS}}}
    )

    inputs: SimilarityInputs
    parameters: dict[str, Any] | None = Field(None, description="`truncate` is read.")


class TeiRank(BaseModel):
    """One text of a ranking."""

    index: int
    score: float
    text: str | None = None


class TeiInfo(Versioned):
    """What serves here."""

    model_id: str
    model_sha: str
    model_dtype: str
    model_type: dict[str, Any]
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_client_batch_size: int
    auto_truncate: bool
    version: str
