"""The predictor's own routes, on kserve's application."""

import base64
import uuid
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel

from components.errors import RankliftError
from predictor.answers import JsonResponse
from predictor.cache import Embedded, Vector
from predictor.ranking import best_first, check_limits, find_similar
from predictor.refusal import RefusalError, invalid
from predictor.schemas import (
    EmbeddingsRequest,
    EmbeddingsResponse,
    ErrorResponse,
    FindSimilarRequest,
    FindSimilarResponse,
    LoadResponse,
    OpenAIErrorResponse,
    RerankDocument,
    RerankRequest,
    RerankResponse,
)
from predictor.switchboard import Switchboard, refusal_of

router = APIRouter()


def _errors(*statuses: int, model: type[BaseModel] = ErrorResponse) -> dict[int | str, dict[str, Any]]:
    reasons = {
        400: "The request body is not JSON, or asks for what this server does not have.",
        401: "A bearer token is needed, and was not given or is wrong.",
        404: "There is no such model.",
        408: "The request did not arrive in time.",
        409: "The model directory cannot be served; the model before keeps serving.",
        413: "The request body is larger than the limit.",
        415: "The request is not sent as application/json.",
        422: "A field is missing, of the wrong type, or beyond a limit.",
        429: "The queue is full; `Retry-After` says when to come back.",
        503: "Not ready, draining, or not answered in time; `Retry-After` says when to come back.",
    }
    return {status: {"model": model, "description": reasons[status]} for status in statuses}


_STATUSES = (400, 401, 408, 413, 415, 422, 429, 503)
FAULTS = _errors(*_STATUSES)
MODEL_FAULTS = {**FAULTS, **_errors(404)}


def switchboard_of(request: Request) -> Switchboard:
    """The application's switchboard."""
    switchboard: Switchboard = request.app.state.switchboard
    return switchboard


Board = Annotated[Switchboard, Depends(switchboard_of)]


@router.post("/find_similar", response_model=FindSimilarResponse, responses=FAULTS, tags=["ranklift"])
async def find_similar_documents(request: FindSimilarRequest, switchboard: Board) -> Response:
    """The document most similar to a query, and the ranking of all of them."""
    (answer,) = await find_similar(switchboard.current, switchboard.settings, [request])
    return JsonResponse(answer)


@router.post(
    "/v1/embeddings",
    response_model=EmbeddingsResponse,
    responses=_errors(*_STATUSES, model=OpenAIErrorResponse),
    tags=["OpenAI"],
)
async def create_embeddings(request: EmbeddingsRequest, switchboard: Board) -> Response:
    """Embeddings, as OpenAI's API gives them."""
    texts = [request.input] if isinstance(request.input, str) else request.input
    check_limits(switchboard.settings, texts)
    served = switchboard.current
    dimension = served.config.dimension
    if request.dimensions not in (None, dimension):
        raise invalid(f"dimensions must be {dimension}: the model was not trained for shorter embeddings.")
    embedded = await served.embed(texts, request.input_type)
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(item.vector, request.encoding_format)}
        for index, item in enumerate(embedded)
    ]
    name = switchboard.settings.model_name
    return JsonResponse({"object": "list", "data": data, "model": name, "usage": _usage(embedded)})


@router.post("/v1/rerank", response_model=RerankResponse, responses=FAULTS, tags=["Jina, Cohere"])
async def rerank_documents(request: RerankRequest, switchboard: Board) -> Response:
    """Documents in the order of their relevance to a query, as the rerank APIs of Jina and Cohere give them."""
    documents = [item.text if isinstance(item, RerankDocument) else item for item in request.documents]
    check_limits(switchboard.settings, [request.query, *documents])
    (answer,) = await switchboard.current.rank([(request.query, documents)])
    results: list[dict[str, Any]] = [
        {"index": position, "relevance_score": answer.scores[position]}
        for position in best_first(answer.scores)[: request.top_n]
    ]
    if request.return_documents:
        for result in results:
            result["document"] = {"text": documents[result["index"]]}
    usage = {"prompt_tokens": answer.tokens, "total_tokens": answer.tokens}
    name = switchboard.settings.model_name
    return JsonResponse({"id": uuid.uuid4().hex, "model": name, "results": results, "usage": usage})


@router.post(
    "/v2/repository/models/{model_name}/load",
    response_model=LoadResponse,
    responses={**MODEL_FAULTS, **_errors(409)},
    tags=["V2"],
)
async def load_model(model_name: str, switchboard: Board) -> LoadResponse:
    """Serve what the model directory holds now: loaded beside, warmed, then swapped with no failed request."""
    if model_name != switchboard.settings.model_name:
        raise RefusalError(404, f"There is no such model; the one here is {switchboard.settings.model_name}.")
    try:
        switched = await switchboard.switch()
    except RankliftError as error:
        raise refusal_of(error) from error
    served = switchboard.current
    return LoadResponse(name=model_name, switched=switched, model_version=served.version, model_digest=served.digest)


def _encoded(vector: Vector, encoding: str) -> str | Vector:
    if encoding == "base64":
        return base64.b64encode(vector.astype(np.dtype("<f4")).tobytes()).decode("ascii")
    return vector


def _usage(embedded: list[Embedded]) -> dict[str, int]:
    tokens = sum(item.tokens for item in embedded)
    return {"prompt_tokens": tokens, "total_tokens": tokens}
