"""Triton's model repository extension over REST: which model is here, and a load of what its directory holds now."""

from typing import Any

from fastapi import APIRouter, Request

from components.errors import RankliftError
from predictor.api.repository import ModelIndex, entries_of
from predictor.api.schemas import LoadResponse
from predictor.api.versions import chosen, version_fields
from predictor.engine.switchboard import refusal_of
from predictor.http.routes.shared import Board, faults
from predictor.refusal import RefusalError

router = APIRouter(tags=["V2"])


@router.post("/v2/repository/index", response_model=list[ModelIndex], responses=faults())
async def index(switchboard: Board) -> list[dict[str, str]]:
    """List the models of the repository: the one in service, and the search in its index."""
    return entries_of(switchboard)


@router.post("/v2/repository/models/{model_name}/load", response_model=LoadResponse, responses=faults())
async def load(model_name: str, switchboard: Board, request: Request) -> dict[str, Any]:
    """Serve what the model directory holds now: loaded beside, warmed, then swapped with no failed request."""
    if model_name != switchboard.settings.model_name:
        raise RefusalError(404, f"There is no such model; this server has {switchboard.settings.model_name}.")
    try:
        switched = await switchboard.switch()
    except RankliftError as error:
        raise refusal_of(error) from error
    served = chosen(switchboard, request.scope)
    return {"name": model_name, "switched": switched, **version_fields(served)}
