"""The Open Inference Protocol over gRPC, for KServe's clients and for Triton's."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.unknown_fields import UnknownFieldSet
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from predictor.api.kserve_model import ANSWERING
from predictor.api.tensors import MAX_TENSORS, TensorAnswer, TensorQuery, TensorReader, Wanted, checked, missing_inputs
from predictor.api.v2_body import OUTPUT
from predictor.api.versions import check_version
from predictor.engine.served import Served
from predictor.engine.switchboard import Switchboard
from predictor.grpc.interceptor import mark_version
from predictor.refusal import bad_request, invalid

Context = Any  # kserve names grpc's, which differs from that of grpc.aio

_TRITONS_MODEL_NAME = 2  # the field's number in Triton's request, whose first is the repository's name


class RankServicer(InferenceServicer):
    """kserve's servicer, reading tensors with every size checked before anything of that size is made."""

    def __init__(self, switchboard: Switchboard, data_plane: DataPlane, repository: ModelRepositoryExtension) -> None:
        super().__init__(data_plane, repository)
        self._switchboard = switchboard

    async def ModelInfer(self, request: Any, context: Context) -> Any:  # noqa: N802 - as the protocol names it
        """Compute the similarity of each document to the query."""
        model: Any = self._data_plane.get_model_from_registry(request.model_name)
        served = self._served(request.model_name, request.model_version)
        mark_version(context, served)
        query = self._query_of(request)
        ANSWERING.set(served)
        answer, _ = await model(query)
        return _written(request, query, answer, served)

    async def ModelMetadata(self, request: Any, context: Context) -> Any:  # noqa: N802
        """Describe the input and output tensors, and the version in service."""
        found = await self._data_plane.model_metadata(model_name=request.name)
        served = self._served(request.name, request.version)
        return pb.ModelMetadataResponse(**found, versions=[served.version])

    async def ModelReady(self, request: Any, context: Context) -> Any:  # noqa: N802
        """Whether requests should be sent here."""
        is_ready = await self._data_plane.model_ready(model_name=request.name)
        if is_ready and request.version:
            self._served(request.name, request.version)
        return pb.ModelReadyResponse(ready=is_ready)

    async def RepositoryModelLoad(self, request: Any, context: Context) -> Any:  # noqa: N802
        """Serve what the model directory holds now, whichever of the two dialects names the model."""
        return await super().RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name=_named(request)), context)

    async def RepositoryModelUnload(self, request: Any, context: Context) -> Any:  # noqa: N802
        """Refused; see `Repository.unload`."""
        return await super().RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name=_named(request)), context)

    def _served(self, model_name: str, version: str) -> Served:
        served = self._switchboard.current
        if version:
            check_version(served, model_name, version)
        return served

    def _query_of(self, request: Any) -> TensorQuery:
        if len(request.inputs) > MAX_TENSORS:
            raise invalid(f"The request has more than {MAX_TENSORS} inputs.")
        raw: Sequence[bytes] = request.raw_input_contents
        if len(raw) not in {0, len(request.inputs)}:
            raise bad_request("The request must have raw contents for all of its inputs, or for none.")
        reader = TensorReader(self._switchboard.settings)
        found: dict[str, list[str]] = {}
        for position, tensor in enumerate(request.inputs):
            if tensor.name in {"query", "documents"} and tensor.name not in found:
                found[tensor.name] = _texts(reader, tensor, raw[position] if raw else None)
        if len(found) != 2:
            raise missing_inputs()
        return checked(found["query"], found["documents"], request.id, _wanted(request, binary=bool(raw)))


def _texts(reader: TensorReader, tensor: Any, raw: bytes | None) -> list[str]:
    if len(tensor.shape) > MAX_TENSORS:  # a shape of a million numbers is not made a list to see that it is wrong
        raise invalid(f"The shape of the input '{tensor.name}' has too many dimensions.")
    volume = reader.volume(tensor.name, tensor.datatype, list(tensor.shape))
    if raw is not None:
        return reader.from_bytes(tensor.name, raw, volume)
    return reader.from_elements(tensor.name, tensor.contents.bytes_contents, volume)


def _wanted(request: Any, *, binary: bool) -> Wanted:
    if len(request.outputs) > MAX_TENSORS or any(output.name != OUTPUT for output in request.outputs):
        raise bad_request(f"There is no such output; this model has '{OUTPUT}'.")
    return Wanted(binary)


def _written(request: Any, query: TensorQuery, answer: TensorAnswer, served: Served) -> Any:
    tensor = pb.ModelInferResponse.InferOutputTensor(name=OUTPUT, datatype="FP32", shape=[len(answer.scores)])
    response = pb.ModelInferResponse(
        model_name=request.model_name,
        model_version=served.version,
        id=query.id,
        parameters={"model_digest": pb.InferParameter(string_param=served.digest)},
    )
    if query.wanted.binary:
        response.raw_output_contents.append(answer.scores.astype("<f4").tobytes())
    else:
        tensor.contents.fp32_contents.extend(answer.scores.tolist())
    response.outputs.append(tensor)
    return response


def _named(request: Any) -> str:
    """Return the model that a repository request names, in KServe's dialect or in Triton's."""
    for field in UnknownFieldSet(request):
        if field.field_number == _TRITONS_MODEL_NAME and isinstance(field.data, bytes):
            return field.data.decode("utf-8", "replace")
    return str(request.model_name)
