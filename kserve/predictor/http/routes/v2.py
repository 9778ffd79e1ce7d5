"""The Open Inference Protocol over REST, with Triton's extensions: binary tensors, requested outputs, versions."""

from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response
from kserve.errors import ModelNotReady
from kserve.protocol.rest import v2_datamodels as v2

from predictor.api.kserve_model import ANSWERING
from predictor.api.repository import names_of
from predictor.api.tensors import Asked, Tensor
from predictor.api.v2_body import read_body
from predictor.api.versions import check_version, chosen
from predictor.engine.served import Served
from predictor.engine.switchboard import Switchboard
from predictor.http.json_route import others_turn
from predictor.http.request_body import BINARY_LENGTH
from predictor.http.routes.shared import Board, faults
from predictor.refusal import bad_request

router = APIRouter(tags=["V2"])

_PATH = "/v2/models/{model_name}"
_VERSION = "/versions/{model_version}"
_EXAMPLE = {
    "inputs": [
        {"name": "query", "shape": [1], "datatype": "BYTES", "data": ["How do I sort an array in place?"]},
        {"name": "documents", "shape": [1], "datatype": "BYTES", "data": ["list.sort() sorts the list in place."]},
    ]
}


@router.get("/v2/models", response_model=v2.ListModelsResponse, responses=faults(401, 403, 421))
async def models(switchboard: Board) -> dict[str, Any]:
    """List the names of the models."""
    return {"models": names_of(switchboard)}


@router.get(_PATH, response_model=v2.ModelMetadataResponse, responses=faults(401, 403, 404, 409, 421, 503))
@router.get(f"{_PATH}{_VERSION}", response_model=v2.ModelMetadataResponse, include_in_schema=False)
async def metadata(
    model_name: str, switchboard: Board, request: Request, model_version: str | None = None
) -> dict[str, Any]:
    """Describe the input and output tensors, and the version in service."""
    served = _served(request, switchboard, model_name, model_version)
    found: dict[str, Any] = await request.app.state.data_plane.model_metadata(model_name)
    return {**found, "versions": [served.version]}


@router.get(f"{_PATH}/ready", response_model=v2.ModelReadyResponse, responses=faults(401, 403, 404, 409, 421, 503))
@router.get(f"{_PATH}{_VERSION}/ready", response_model=v2.ModelReadyResponse, include_in_schema=False)
async def ready(
    model_name: str, switchboard: Board, request: Request, model_version: str | None = None
) -> dict[str, Any]:
    """Whether requests should be sent here."""
    is_ready = await request.app.state.data_plane.model_ready(model_name)
    if not is_ready:
        raise ModelNotReady(model_name)
    _served(request, switchboard, model_name, model_version)
    return {"name": model_name, "ready": True}


@router.post(
    f"{_PATH}/infer",
    response_model=None,
    responses={**faults(), 200: {"model": v2.InferenceResponse}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object", "example": _EXAMPLE}}},
        }
    },
)
@router.post(f"{_PATH}{_VERSION}/infer", response_model=None, include_in_schema=False)
async def infer(model_name: str, switchboard: Board, request: Request, model_version: str | None = None) -> Response:
    """Compute the similarity of each document to the query; `ranklift-search` finds passages of the index."""
    model = request.app.state.data_plane.get_model_from_registry(model_name)
    body = await request.body()
    asked = read_body(body, _json_length(request), model.schema)
    await others_turn(body)
    served = _served(request, switchboard, model_name, model_version)
    ANSWERING.set(served)
    outputs, _ = await model(asked, headers=dict(request.headers))
    document = {
        "model_name": model_name,
        "model_version": served.version,
        "id": asked.id,
        "parameters": model.named(served),
    }
    return _written(document, asked, outputs)


def _served(request: Request, switchboard: Switchboard, model_name: str, version: str | None) -> Served:
    model = request.app.state.data_plane.get_model_from_registry(model_name)
    served = chosen(switchboard, request.scope)
    if version:
        check_version(served, model_name, version)
    model.check(served)
    return served


def _json_length(request: Request) -> int | None:
    stated = request.headers.get(BINARY_LENGTH.decode("ascii"))
    if stated is None:
        return None
    if not stated.isascii() or not stated.isdigit() or len(stated) > 12:
        raise bad_request("Inference-Header-Content-Length must be a whole number.")
    return int(stated)


def _written(document: dict[str, Any], asked: Asked, outputs: list[Tensor]) -> Response:
    described, binaries = [], []
    for tensor in outputs:
        is_binary = asked.as_binary(tensor.name)
        if is_binary is None:
            continue
        output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": [len(tensor.values)]}
        if is_binary:
            binaries.append(tensor.to_bytes())
            output["parameters"] = {"binary_data_size": len(binaries[-1])}
        else:
            output["data"] = tensor.values
        described.append(output)
    header = orjson.dumps({**document, "outputs": described}, option=orjson.OPT_SERIALIZE_NUMPY)
    if not binaries:
        return Response(header, media_type="application/json")
    headers = {"Inference-Header-Content-Length": str(len(header))}
    return Response(b"".join([header, *binaries]), headers=headers, media_type="application/octet-stream")
