"""Requests and answers of the predictor's own routes, as the OpenAPI document shows them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Text = Annotated[str, Field(description="Any Unicode text.")]
Count = Annotated[int, Field(ge=1)]

_QUERY = "How do I sort an array in place?"
_DOCUMENTS: list[JsonValue] = ["list.sort() sorts the list in place.", "A graph is a set of nodes and edges."]


class _Request(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class FindSimilarRequest(_Request):
    """A query and the documents to compare it with."""

    model_config = ConfigDict(json_schema_extra={"example": {"query": _QUERY, "documents": _DOCUMENTS}})

    query: Text = Field(min_length=1)
    documents: list[Text] = Field(min_length=1)
    top_k: Count | None = Field(None, description="How many documents the ranking has at most; all when left out.")
    return_documents: bool = Field(False, description="Whether the ranking repeats each document's text.")


class Ranked(BaseModel):
    """One document of a ranking."""

    index: int = Field(description="Position of the document in the request, from 0.")
    score: float = Field(description="Similarity to the query; in [-1, 1] for a cosine model.")
    document: str | None = Field(None, description="Its text, when `return_documents` asks for it.")


class FindSimilarResponse(BaseModel):
    """The most similar document, and all of them best first."""

    model_config = ConfigDict(
        protected_namespaces=(),
        json_schema_extra={
            "example": {
                "document": _DOCUMENTS[0],
                "index": 0,
                "score": 0.6123,
                "ranking": [{"index": 0, "score": 0.6123}, {"index": 1, "score": 0.0451}],
                "model_name": "ranklift",
                "model_version": "V3",
            }
        },
    )

    document: str = Field(description="The most similar document.")
    index: int = Field(description="Its position in the request, from 0.")
    score: float = Field(description="Its similarity to the query.")
    ranking: list[Ranked]
    model_name: str
    model_version: str


class PredictRequest(_Request):
    """KServe v1: several find-similar requests at once."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"instances": [{"query": _QUERY, "documents": _DOCUMENTS}]}}
    )

    instances: list[FindSimilarRequest] = Field(min_length=1)


class PredictResponse(BaseModel):
    """KServe v1: one answer for each instance, in order."""

    predictions: list[FindSimilarResponse]


class EmbeddingsRequest(_Request):
    """OpenAI's embeddings request."""

    model_config = ConfigDict(json_schema_extra={"example": {"model": "ranklift", "input": _DOCUMENTS}})

    input: Annotated[str, Field(min_length=1)] | Annotated[list[Text], Field(min_length=1)]
    model: str | None = Field(None, description="Taken as said: one model serves here.")
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Count | None = Field(None, description="Length of the embeddings, where the model allows a choice.")
    user: str | None = None
    input_type: Literal["query", "document"] = Field(
        "document", description="Which side of the search the texts are on: the model's prompt for it is applied."
    )


class Embedding(BaseModel):
    """One embedding."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str = Field(description="Numbers, or base64 of little-endian float32.")


class Usage(BaseModel):
    """Tokens that the model read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    """OpenAI's embeddings response."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class RerankDocument(_Request):
    """A document as an object."""

    text: Text


class RerankRequest(_Request):
    """The rerank request of Jina and Cohere."""

    model_config = ConfigDict(json_schema_extra={"example": {"query": _QUERY, "documents": _DOCUMENTS, "top_n": 1}})

    query: Text = Field(min_length=1)
    documents: list[Text | RerankDocument] = Field(min_length=1)
    model: str | None = Field(None, description="Taken as said: one model serves here.")
    top_n: Count | None = Field(None, description="How many results at most; all when left out.")
    return_documents: bool = False


class RerankResult(BaseModel):
    """One document of a reranking."""

    index: int
    relevance_score: float
    document: RerankDocument | None = None


class RerankResponse(BaseModel):
    """The rerank response of Jina and Cohere, best first."""

    id: str
    model: str
    results: list[RerankResult]
    usage: Usage


class LoadResponse(BaseModel):
    """What serves after a load."""

    model_config = ConfigDict(protected_namespaces=())

    name: str
    load: bool = True
    switched: bool = Field(description="False when the directory holds what was serving already.")
    model_version: str
    model_digest: str


class OpenAIError(BaseModel):
    """What OpenAI's clients read."""

    message: str = Field(description="One sentence.")
    type: Literal["invalid_request_error", "server_error"]
    param: None = None
    code: None = None


class OpenAIErrorResponse(BaseModel):
    """Why a request was not answered, in OpenAI's shape."""

    error: OpenAIError
    request_id: str = ""


class ErrorResponse(BaseModel):
    """Why a request was not answered."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"error": "documents must have at least 1 item and has 0.", "request_id": "5f0c…"}
        }
    )

    error: str = Field(description="One sentence.")
    request_id: str = Field("", description="Also in the X-Request-ID header and in the log.")
