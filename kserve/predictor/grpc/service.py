"""The Open Inference Protocol over gRPC, for KServe's clients and for Triton's."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.unknown_fields import UnknownFieldSet
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from predictor.api.kserve_model import ANSWERING
from predictor.api.tensors import MAX_TENSORS, Asked, Schema, Tensor, TensorReader
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
        """Compute the similarity of each document to the query, or find passages of the index."""
        model: Any = self._data_plane.get_model_from_registry(request.model_name)
        served = self._served(request.model_name, request.model_version)
        mark_version(context, served)
        asked = _asked(request, model.schema)
        ANSWERING.set(served)
        outputs, _ = await model(asked)
        response = pb.ModelInferResponse(
            model_name=request.model_name,
            model_version=served.version,
            id=asked.id,
            parameters={name: pb.InferParameter(string_param=text) for name, text in model.named(served).items()},
        )
        for tensor in outputs:
            if asked.as_binary(tensor.name) is not None:
                _write(response, tensor, binary=asked.binary)
        return response

    async def ModelMetadata(self, request: Any, context: Context) -> Any:  # noqa: N802
        """Describe the input and output tensors, and the version in service."""
        found = await self._data_plane.model_metadata(model_name=request.name)
        served = self._served(request.name, request.version)
        return pb.ModelMetadataResponse(**found, versions=[served.version])

    async def ModelReady(self, request: Any, context: Context) -> Any:  # noqa: N802
        """Whether requests should be sent here."""
        is_ready = await self._data_plane.model_ready(model_name=request.name)
        if is_ready:
            self._served(request.name, request.version)
        return pb.ModelReadyResponse(ready=is_ready)

    async def RepositoryModelLoad(self, request: Any, context: Context) -> Any:  # noqa: N802
        """Serve what the model directory holds now, whichever of the two dialects names the model."""
        return await super().RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name=_named(request)), context)

    async def RepositoryModelUnload(self, request: Any, context: Context) -> Any:  # noqa: N802
        """Refused; see `Repository.unload`."""
        return await super().RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name=_named(request)), context)

    def _served(self, model_name: str, version: str) -> Served:
        model: Any = self._data_plane.get_model_from_registry(model_name)
        served = self._switchboard.current
        if version:
            check_version(served, model_name, version)
        model.check(served)
        return served


def _asked(request: Any, schema: Schema) -> Asked:
    if len(request.inputs) > MAX_TENSORS:
        raise invalid(f"The request has more than {MAX_TENSORS} inputs.")
    raw: Sequence[bytes] = request.raw_input_contents
    if len(raw) not in {0, len(request.inputs)}:
        raise bad_request("The request must have raw contents for all of its inputs, or for none.")
    reader = TensorReader(schema)
    found: dict[str, list[str]] = {}
    for position, tensor in enumerate(request.inputs):
        if tensor.name in schema.inputs and tensor.name not in found:
            found[tensor.name] = _texts(reader, tensor, raw[position] if raw else None)
    if not found.keys() >= set(schema.needed):
        raise schema.missing()
    wanted = _wanted(request, schema, binary=bool(raw))
    return Asked(request.id, found, _parameters(request), wanted, bool(raw))


def _texts(reader: TensorReader, tensor: Any, raw: bytes | None) -> list[str]:
    if len(tensor.shape) > MAX_TENSORS:  # a shape of a million numbers is not made a list to see that it is wrong
        raise invalid(f"The shape of the input '{tensor.name}' has too many dimensions.")
    volume = reader.volume(tensor.name, tensor.datatype, list(tensor.shape))
    if raw is not None:
        return reader.from_bytes(tensor.name, raw, volume)
    return reader.from_elements(tensor.name, tensor.contents.bytes_contents, volume)


def _wanted(request: Any, schema: Schema, *, binary: bool) -> dict[str, bool] | None:
    names = [output.name for output in request.outputs[: MAX_TENSORS + 1]]
    if len(names) > MAX_TENSORS or not set(names) <= set(schema.outputs):
        raise schema.no_output()
    return dict.fromkeys(names, binary) or None


def _parameters(request: Any) -> dict[str, Any]:
    """Return the parameters of a request, of which one that is of none of the protocol's types is None."""
    found = {}
    for name, parameter in request.parameters.items():
        kind = parameter.WhichOneof("parameter_choice")
        found[name] = getattr(parameter, kind) if kind else None
    return found


def _write(response: Any, tensor: Tensor, *, binary: bool) -> None:
    """Add an output to a response: raw, or in the contents of its type."""
    output = response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=[len(tensor.values)])
    if binary:
        response.raw_output_contents.append(tensor.to_bytes())
    elif isinstance(tensor.values, list):
        output.contents.bytes_contents.extend(text.encode("utf-8") for text in tensor.values)
    else:
        contents = {"FP32": output.contents.fp32_contents, "INT32": output.contents.int_contents}
        contents[tensor.datatype].extend(tensor.values.tolist())


def _named(request: Any) -> str:
    """Return the model that a repository request names, in KServe's dialect or in Triton's."""
    for field in UnknownFieldSet(request):
        if field.field_number == _TRITONS_MODEL_NAME and isinstance(field.data, bytes):
            return field.data.decode("utf-8", "replace")
    return str(request.model_name)
