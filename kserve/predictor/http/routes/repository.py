"""Triton's model repository extension over REST: which model is here, and a load of what its directory holds now."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel

from components.errors import RankliftError
from predictor.api.schemas import LoadResponse
from predictor.api.versions import chosen, version_fields
from predictor.engine.switchboard import Switchboard, refusal_of
from predictor.http.routes.shared import Board, faults
from predictor.refusal import RefusalError

router = APIRouter(tags=["V2"])

READY = "READY"


class ModelIndex(BaseModel):
    """One model of the repository."""

    name: str
    version: str
    state: str
    reason: str = ""


@router.post("/v2/repository/index", response_model=list[ModelIndex], responses=faults())
async def index(switchboard: Board) -> list[dict[str, str]]:
    """List the models of the repository: one."""
    return [entry_of(switchboard)]


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


def entry_of(switchboard: Switchboard) -> dict[str, str]:
    """Return the entry of the one model in the repository's index."""
    served = switchboard.served
    version = "" if served is None else served.version
    state, reason = (READY, "") if switchboard.ready else ("UNAVAILABLE", "loading or draining")
    return {"name": switchboard.settings.model_name, "version": version, "state": state, "reason": reason}
