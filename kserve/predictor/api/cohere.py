"""Cohere's and Jina's rerank and embed requests, as their clients send them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from predictor.api.openai import Usage
from predictor.api.schemas import DOCUMENTS, MODEL, QUERY, Count, StrictRequest, Text, Texts, Versioned


class RerankDocument(StrictRequest):
    """A document as an object."""

    text: Text


class RerankRequest(StrictRequest):
    """The rerank request of Jina and Cohere."""

    model_config = ConfigDict(json_schema_extra={"example": {"query": QUERY, "documents": DOCUMENTS, "top_n": 1}})

    query: Text = Field(min_length=1)
    documents: Annotated[list[Text | RerankDocument], Field(fail_fast=True)] = Field(min_length=1)
    model: str | None = Field(None, description=MODEL)
    top_n: Count | None = Field(None, description="How many results at most; default: all.")
    return_documents: bool | None = None


class RerankResult(BaseModel):
    """One document of a reranking."""

    index: int
    relevance_score: float
    document: RerankDocument | None = None


class RerankResponse(Versioned):
    """The rerank response of Jina and Cohere, best first."""

    id: str
    model: str
    results: list[RerankResult]
    usage: Usage
    meta: dict[str, Any]


InputType = Literal["search_document", "search_query", "classification", "clustering"]
EmbeddingType = Literal["float", "base64", "binary", "ubinary"]


class TextPart(StrictRequest):
    """A piece of text."""

    type: Literal["text"]
    text: Text


class ContentInput(StrictRequest):
    """An input in pieces, which are read as one text."""

    content: Annotated[list[TextPart], Field(fail_fast=True)] = Field(min_length=1)


class EmbedRequest(StrictRequest):
    """Cohere's embed request."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"model": "ranklift", "texts": DOCUMENTS, "input_type": "search_document"}}
    )

    texts: Texts | None = None
    inputs: Annotated[list[ContentInput], Field(fail_fast=True)] | None = Field(
        None, description="In place of `texts`."
    )
    model: str | None = Field(None, description=MODEL)
    input_type: InputType | None = Field(
        None, description="search_query embeds as the model embeds queries, everything else as it embeds documents."
    )
    embedding_types: Annotated[list[EmbeddingType], Field(fail_fast=True)] | None = Field(
        None, description="float when left out; int8 and uint8 are made of a corpus's floats, where it is kept."
    )
    output_dimension: Count | None = Field(None, description="As OpenAI's `dimensions`.")
    truncate: Literal["END", "NONE"] | None = Field(
        None, description="NONE refuses texts that are longer than the model reads; they are cut at the end otherwise."
    )


class EmbedResponse(Versioned):
    """Cohere's embed response; `embeddings` is an object by type, or a list where v1 asks for no types."""

    id: str
    response_type: Literal["embeddings_floats", "embeddings_by_type"]
    embeddings: dict[str, Any] | list[list[float]]
    texts: list[str]
    meta: dict[str, Any]
