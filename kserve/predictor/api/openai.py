"""OpenAI's embeddings and models, as its clients send and read them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from predictor.api.schemas import DOCUMENTS, MODEL, Count, StrictRequest, Texts, Versioned

BAD_REQUEST = "ranklift_bad_request"  #: pydantic errors of this type are answered with 400


def _refuse_token_ids(value: Any) -> Any:
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, list | int) and not isinstance(first, bool):
        raise PydanticCustomError(
            BAD_REQUEST,
            "input has token ids, which belong to another tokenizer than this model's; send texts (LangChain: "
            "check_embedding_ctx_length=False)",
        )
    return value


class EmbeddingsRequest(StrictRequest):
    """OpenAI's embeddings request."""

    model_config = ConfigDict(json_schema_extra={"example": {"model": "ranklift", "input": DOCUMENTS}})

    input: Annotated[
        Annotated[str, Field(min_length=1)] | Annotated[Texts, Field(min_length=1)], BeforeValidator(_refuse_token_ids)
    ]
    model: str | None = Field(None, description=MODEL)
    encoding_format: Literal["float", "base64"] | None = Field(None, description="float when left out.")
    dimensions: Count | None = Field(None, description="Length of the embeddings, where the model allows a choice.")
    user: str | None = None
    input_type: Literal["query", "document"] | None = Field(
        None,
        description="Which side of the search the texts are on: the model's prompt for it is applied; document when "
        "left out.",
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


class EmbeddingsResponse(Versioned):
    """OpenAI's embeddings response."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class ServedModel(Versioned):
    """A model, in OpenAI's shape and with KServe's keys."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When it began to serve, in seconds since 1970.")
    owned_by: str
    name: str
    ready: bool


class ServedModels(BaseModel):
    """The models here, in OpenAI's shape and with KServe's key."""

    object: Literal["list"] = "list"
    data: list[ServedModel]
    models: list[str]


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
