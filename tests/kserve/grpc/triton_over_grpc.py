"""Triton's gRPC client, in a process of its own: its protocol file and kserve's cannot be loaded into one.

Run as `python -m tests.kserve.grpc.triton_over_grpc ADDRESS QUERY TEXT…`; prints what the client was told, as JSON.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException


def tensors(**inputs: list[str]) -> list[triton.InferInput]:
    made = []
    for name, values in inputs.items():
        tensor = triton.InferInput(name, [len(values)], "BYTES")
        tensor.set_data_from_numpy(np.array([value.encode() for value in values], dtype=np.object_))
        made.append(tensor)
    return made


def told(ask: Callable[[], Any]) -> Any:
    """What the client was told: the answer, or why there is none."""
    try:
        return ask()
    except InferenceServerException as error:
        return {"status": error.status(), "message": error.message()}


def scores(answer: triton.InferResult) -> dict[str, Any]:
    response = answer.get_response()
    return {
        "scores": answer.as_numpy("scores").tolist(),
        "raw": len(response.raw_output_contents),
        "id": response.id,
        "version": response.model_version,
        "digest": response.parameters["model_digest"].string_param,
    }


def hits(answer: triton.InferResult) -> dict[str, Any]:
    response = answer.get_response()
    outputs = {output.name: answer.as_numpy(output.name).tolist() for output in response.outputs}
    decoded = {name: [one.decode() if isinstance(one, bytes) else one for one in row] for name, row in outputs.items()}
    named = {name: parameter.string_param for name, parameter in response.parameters.items()}
    return {**decoded, "id": response.id, "version": response.model_version, "named": named}


def main(address: str, query: str, texts: list[str]) -> dict[str, Any]:
    with triton.InferenceServerClient(address) as client:
        metadata = client.get_model_metadata("ranklift", as_json=True)
        version = metadata["versions"][0]
        named, unknown = [triton.InferRequestedOutput("scores")], [triton.InferRequestedOutput("tangerine-zeppelin")]

        def infer(**options: Any) -> Any:
            made = tensors(query=[query], documents=texts)
            return told(lambda: scores(client.infer("ranklift", made, **options)))

        def search(inputs: dict[str, list[str]], **options: Any) -> Any:
            return told(lambda: hits(client.infer("ranklift-search", tensors(**inputs), **options)))

        return {
            "live": client.is_server_live(),
            "ready": client.is_server_ready() and client.is_model_ready("ranklift"),
            "metadata": metadata,
            "server": client.get_server_metadata(as_json=True),
            "index": client.get_model_repository_index(as_json=True),
            "load": told(lambda: client.load_model("ranklift")),
            "load another": told(lambda: client.load_model("other")),
            "infer": infer(request_id="7"),
            "a requested output": infer(outputs=named, request_id="7"),
            "an unknown output": infer(outputs=unknown),
            "this version": infer(model_version=version),
            "another version": infer(model_version="V9"),
            "search ready": client.is_model_ready("ranklift-search"),
            "search metadata": client.get_model_metadata("ranklift-search", as_json=True),
            "search": search({"query": [query, "an edge"]}, parameters={"top_k": 2}, request_id="7"),
            "search among ids": search({"query": [query], "ids": ["trees/edge", "not here"]}),
            "search some outputs": search({"query": [query]}, outputs=[triton.InferRequestedOutput("ids")]),
            "search another index": search({"query": [query]}, parameters={"index": "V9"}),
            "search too much": search({"query": [query]}, parameters={"top_k": 100_000}),
        }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], sys.argv[3:])))
