"""The predictor's own route, and all routes of the protocols that others brought."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from predictor import (
    cohere_routes,
    openai_routes,
    repository_routes,
    score_routes,
    tei_routes,
    v1_routes,
    v2_routes,
)
from predictor.answers import JsonResponse
from predictor.http.routes import search
from predictor.ranking import find_similar
from predictor.routing import Board, faults
from predictor.schemas import FindSimilarRequest, FindSimilarResponse
from predictor.versions import chosen

router = APIRouter()


@router.post("/find_similar", response_model=FindSimilarResponse, responses=faults(), tags=["ranklift"])
async def find_similar_documents(body: FindSimilarRequest, switchboard: Board, request: Request) -> Response:
    """The document most similar to a query, and the ranking of all of them."""
    served = chosen(switchboard, request.scope, body.model)
    (answer,) = await find_similar(served, switchboard.settings, [body])
    return JsonResponse(answer)


for _protocol in (
    search,
    openai_routes,
    v1_routes,
    v2_routes,
    repository_routes,
    cohere_routes,
    tei_routes,
    score_routes,
):
    router.include_router(_protocol.router)
