"""Requests and answers of the predictor's own routes, as the OpenAPI document shows them.

Every optional field may be ``null``, which says that it is not set: clients send all the fields they know.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Text = Annotated[str, Field(description="Any Unicode text.")]
# One fault is enough for a refusal: an error object for each of a million wrong elements would take gigabytes.
Texts = Annotated[list[Text], Field(fail_fast=True)]
Count = Annotated[int, Field(ge=1)]

QUERY = "How do I sort an array in place?"
DOCUMENTS: list[JsonValue] = ["list.sort() sorts the list in place.", "A graph is a set of nodes and edges."]
MODEL = "Any name is accepted, because one model serves here; `ranklift@V3` demands version V3."


class StrictRequest(BaseModel):
    """A request: values are not converted, unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True)


class Versioned(BaseModel):
    """An answer that names the model it is of."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: str = Field(description="Version of the model that answered, such as V3.")
    model_digest: str = Field(description="SHA-256 of the model's files.")


class FindSimilarRequest(StrictRequest):
    """A query and the documents to compare it with."""

    model_config = ConfigDict(json_schema_extra={"example": {"query": QUERY, "documents": DOCUMENTS}})

    query: Text = Field(min_length=1)
    documents: Texts = Field(min_length=1)
    top_k: Count | None = Field(None, description="How many documents the ranking has at most; default: all.")
    return_documents: bool | None = Field(None, description="Whether the ranking repeats each document's text.")
    model: str | None = Field(None, description=MODEL)


class Ranked(BaseModel):
    """One document of a ranking."""

    index: int = Field(description="Position of the document in the request, from 0.")
    score: float = Field(description="Similarity to the query; in [-1, 1] for a cosine model.")
    document: str | None = Field(None, description="Its text, when `return_documents` asks for it.")


class FindSimilarResponse(Versioned):
    """The most similar document, and all of them best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "document": DOCUMENTS[0],
                "index": 0,
                "score": 0.6123,
                "ranking": [{"index": 0, "score": 0.6123}, {"index": 1, "score": 0.0451}],
                "model_name": "ranklift",
                "model_version": "V3",
                "model_digest": "5f0c…",
            }
        },
    )

    document: str = Field(description="The most similar document.")
    index: int = Field(description="Its position in the request, from 0.")
    score: float = Field(description="Its similarity to the query.")
    ranking: list[Ranked]
    model_name: str


class PredictRequest(StrictRequest):
    """KServe v1: several find-similar requests at once."""

    model_config = ConfigDict(json_schema_extra={"example": {"instances": [{"query": QUERY, "documents": DOCUMENTS}]}})

    instances: Annotated[list[FindSimilarRequest], Field(fail_fast=True)] = Field(min_length=1)


class PredictResponse(BaseModel):
    """KServe v1: one answer for each instance, in order."""

    predictions: list[FindSimilarResponse]


class LoadResponse(Versioned):
    """What serves after a load."""

    name: str
    load: bool = True
    switched: bool = Field(description="False when the directory holds what was serving already.")


class ErrorResponse(BaseModel):
    """Why a request was not answered."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"error": "documents must have at least 1 item and has 0.", "request_id": "5f0c…"}
        }
    )

    error: str = Field(description="One sentence.")
    request_id: str = Field("", description="Also in the X-Request-ID header and in the log.")
