"""KServe's v1 protocol: several requests of /find_similar in one, also as a CloudEvent."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from predictor.api.kserve_model import ANSWERING
from predictor.api.schemas import PredictRequest, PredictResponse
from predictor.api.versions import chosen
from predictor.http.json_route import others_turn
from predictor.http.responses import JsonResponse
from predictor.http.routes.shared import Board, faults

router = APIRouter(tags=["V1"])


@router.post(
    "/v1/models/{model_name}:predict",
    response_model=None,
    responses={**faults(), 200: {"model": PredictResponse}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": PredictRequest.model_json_schema()}},
        }
    },
)
async def predict(model_name: str, switchboard: Board, request: Request) -> Response:
    """One answer for each instance, in order; `ranklift@V3` in the path demands that version."""
    name, at, _ = model_name.partition("@")
    data_plane = request.app.state.data_plane
    model = data_plane.get_model_from_registry(name)
    headers = dict(request.headers)
    body = await request.body()
    payload, attributes = data_plane.decode(body, headers)
    await others_turn(body)
    ANSWERING.set(chosen(switchboard, request.scope, model_name if at else None))
    answer, _ = await model(payload, headers=headers)
    encoded, added = data_plane.encode(name, answer, headers, attributes)
    shown: dict[str, Any] = {key: value for key, value in added.items() if key.lower() != "content-length"}
    if isinstance(encoded, bytes | str):
        return Response(encoded, headers=shown)
    return JsonResponse(encoded, headers=shown)
