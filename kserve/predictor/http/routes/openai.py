"""OpenAI's routes: embeddings, and the models that serve."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from kserve.errors import ModelNotReady

from predictor.api.openai import (
    EmbeddingsRequest,
    EmbeddingsResponse,
    OpenAIErrorResponse,
    ServedModel,
    ServedModels,
)
from predictor.api.ranking import check_inputs
from predictor.api.versions import chosen, version_fields
from predictor.engine.cache import Embedded
from predictor.engine.served import Served
from predictor.engine.switchboard import Switchboard
from predictor.http.json_route import JsonRoute
from predictor.http.responses import JsonResponse, rendered
from predictor.http.routes.shared import Board, as_base64, check_dimensions, faults, shortened, tokens_of
from predictor.refusal import RefusalError

router = APIRouter(route_class=JsonRoute)


@router.post(
    "/v1/embeddings",
    response_model=EmbeddingsResponse,
    responses=faults(model=OpenAIErrorResponse),
    tags=["OpenAI"],
)
async def create_embeddings(body: EmbeddingsRequest, switchboard: Board, request: Request) -> Response:
    """Embeddings, as OpenAI's API gives them."""
    texts = [body.input] if isinstance(body.input, str) else body.input
    check_inputs(switchboard.settings, texts)
    served = chosen(switchboard, request.scope, body.model)
    check_dimensions(served, body.dimensions)
    embedded = await served.embed(texts, body.input_type or "document")
    vectors = shortened(served, embedded, body.dimensions)
    encode = as_base64 if body.encoding_format == "base64" else _as_it_is
    data = [
        {"object": "embedding", "index": index, "embedding": encode(vector)} for index, vector in enumerate(vectors)
    ]
    return JsonResponse(
        {
            "object": "list",
            "data": await rendered(data),
            "model": switchboard.settings.model_name,
            "usage": usage(embedded),
            **version_fields(served),
        }
    )


@router.get("/v1/models", response_model=ServedModels, responses=faults(401, 403, 421, 503), tags=["OpenAI", "V1"])
async def list_models(switchboard: Board) -> dict[str, Any]:
    """List the model in service, for OpenAI's clients and for KServe's."""
    name = switchboard.settings.model_name
    return {"data": [_described(switchboard, switchboard.current)], "models": [name]}


@router.get(
    "/v1/models/{model_name}",
    response_model=ServedModel,
    responses=faults(401, 403, 404, 409, 421, 503),
    tags=["OpenAI", "V1"],
)
async def get_model(model_name: str, switchboard: Board, request: Request) -> dict[str, Any]:
    """Whether a model is ready, and which version of it; `ranklift@V3` asks for that version."""
    name = switchboard.settings.model_name
    if model_name.partition("@")[0] != name:
        raise RefusalError(404, f"There is no such model; this server has {name}.")
    served = chosen(switchboard, request.scope, model_name)
    if not switchboard.ready:
        raise ModelNotReady(name)
    return _described(switchboard, served)


def usage(embedded: Sequence[Embedded]) -> dict[str, int]:
    """Return the tokens that were read, as OpenAI's clients expect them."""
    tokens = tokens_of(embedded)
    return {"prompt_tokens": tokens, "total_tokens": tokens}


def _as_it_is(vector: Any) -> Any:
    return vector


def _described(switchboard: Switchboard, served: Served) -> dict[str, Any]:
    name = switchboard.settings.model_name
    return {
        "id": name,
        "created": int(served.since),
        "owned_by": "ranklift",
        "name": name,
        "ready": switchboard.ready,
        **version_fields(served),
    }
