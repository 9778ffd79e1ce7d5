"""The index's routes: search in it, and what it is."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from predictor.api.search import (
    IndexResponse,
    SearchRequest,
    SearchResponse,
    describe,
    index_headers,
    index_of,
    search,
)
from predictor.api.versions import chosen
from predictor.http.json_route import JsonRoute
from predictor.http.responses import JsonResponse
from predictor.http.routes.shared import Board, faults

router = APIRouter(route_class=JsonRoute, tags=["ranklift"])


@router.post("/search", response_model=SearchResponse, responses=faults())
async def search_passages(body: SearchRequest, switchboard: Board, request: Request) -> Response:
    """Find the passages of the index that are nearest to a query, or to each of several."""
    served = chosen(switchboard, request.scope, body.model)
    answer = await search(served, switchboard.settings, body)
    return JsonResponse(answer, headers=index_headers(index_of(served)))


@router.get("/index", response_model=IndexResponse, responses=faults(401, 403, 404, 421, 503))
async def index(switchboard: Board, request: Request) -> dict[str, Any]:
    """Describe the index that `POST /search` searches."""
    served = chosen(switchboard, request.scope)
    return describe(served, index_of(served))
