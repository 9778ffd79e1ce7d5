"""The predictor's own route."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from predictor.api.ranking import find_similar
from predictor.api.schemas import FindSimilarRequest, FindSimilarResponse
from predictor.api.versions import chosen
from predictor.http.json_route import JsonRoute
from predictor.http.responses import JsonResponse
from predictor.http.routes.shared import Board, faults

router = APIRouter(route_class=JsonRoute)


@router.post("/find_similar", response_model=FindSimilarResponse, responses=faults(), tags=["ranklift"])
async def find_similar_documents(body: FindSimilarRequest, switchboard: Board, request: Request) -> Response:
    """Find the document most similar to a query, and rank all of them."""
    served = chosen(switchboard, request.scope, body.model)
    (answer,) = await find_similar(served, switchboard.settings, [body])
    return JsonResponse(answer)
