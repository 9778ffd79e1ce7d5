"""A v2 request over REST: JSON, with binary tensors after it where the client sends them so."""

from typing import Any

import orjson

from predictor.api.tensors import MAX_TENSORS, Asked, Schema, TensorReader
from predictor.refusal import bad_request, invalid


def read_body(body: bytes, json_length: int | None, schema: Schema) -> Asked:
    """Return what the body of a request asks.

    Args:
        body: the whole body.
        json_length: bytes of JSON at its start; None when the whole body is JSON.
        schema: of the model that is asked.

    Raises:
        RefusalError: when it is not well-formed, or not a request for this model.
    """
    if json_length is not None and json_length > len(body):
        raise bad_request("Inference-Header-Content-Length is larger than the body.")
    try:
        document = orjson.loads(body[:json_length])
    except orjson.JSONDecodeError:
        raise bad_request("The request body is not valid JSON.") from None
    if not isinstance(document, dict):
        raise invalid("The request body must be a JSON object.")
    binary = b"" if json_length is None else body[json_length:]
    request_id = document.get("id")
    parameters = _parameters(document)
    return Asked(
        request_id if isinstance(request_id, str) else "",
        _texts(document, binary, schema),
        parameters,
        _wanted(document, schema),
        parameters.get("binary_data_output") is True,
    )


def _texts(document: dict[str, Any], binary: bytes, schema: Schema) -> dict[str, list[str]]:
    reader = TensorReader(schema)
    if document.get("inputs") is None:
        raise schema.missing()
    tensors = _objects(document, "inputs")
    found: dict[str, list[str]] = {}
    start = 0
    for tensor in tensors:
        size = _binary_size(tensor)
        end = start + (size or 0)
        name = tensor.get("name")
        if isinstance(name, str) and name in schema.inputs and name not in found:
            found[name] = _read(name, tensor, None if size is None else binary[start:end], reader)
        start = end
    if start > len(binary):
        raise bad_request("The body ends before the binary tensors that its JSON announces.")
    if not found.keys() >= set(schema.needed):
        raise schema.missing()
    return found


def _read(name: str, tensor: dict[str, Any], binary: bytes | None, reader: TensorReader) -> list[str]:
    shape = tensor.get("shape")
    if not isinstance(shape, list):
        raise invalid(f"The shape of the input '{name}' must be a list.")
    volume = reader.volume(name, str(tensor.get("datatype")).upper(), shape)
    if binary is not None:
        return reader.from_bytes(name, binary, volume)
    if not isinstance(tensor.get("data"), list):
        raise invalid(f"The input '{name}' must have its data as a list, or a binary_data_size.")
    return reader.from_json(name, tensor["data"], volume)


def _binary_size(tensor: dict[str, Any]) -> int | None:
    """How many bytes after the JSON are this tensor's; None when its data is in the JSON."""
    size = _parameters(tensor).get("binary_data_size")
    if size is None or tensor.get("data") is not None:
        return None
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise bad_request("binary_data_size must be a whole number, not below 0.")
    return size


def _wanted(document: dict[str, Any], schema: Schema) -> dict[str, bool] | None:
    if document.get("outputs") is None:
        return None
    binary = _parameters(document).get("binary_data_output") is True
    wanted = {}
    for output in _objects(document, "outputs"):
        name = output.get("name")
        if name not in schema.outputs:
            raise schema.no_output()
        stated = _parameters(output).get("binary_data")
        wanted[str(name)] = binary if stated is None else stated is True
    return wanted or None


def _objects(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = document.get(name)
    if not isinstance(value, list) or len(value) > MAX_TENSORS or not all(isinstance(item, dict) for item in value):
        raise invalid(f"{name} must be a list of at most {MAX_TENSORS} JSON objects.")
    return value


def _parameters(document: dict[str, Any]) -> dict[str, Any]:
    value = document.get("parameters")
    return value if isinstance(value, dict) else {}
