"""The model as KServe sees it: the v1 protocol's instances and the Open Inference Protocol's tensors."""

from typing import Any

from kserve.errors import InvalidInput
from kserve.model import Model
from kserve.protocol.infer_type import InferInput, InferOutput, InferRequest, InferResponse
from pydantic import ValidationError

from predictor.ranking import check_limits, find_similar
from predictor.refusal import invalid
from predictor.schemas import PredictRequest
from predictor.sentences import sentence_of
from predictor.switchboard import Switchboard

Payload = dict[str, Any] | InferRequest | bytes


class RankModel(Model):
    """Ranks documents by their similarity to a query, with the model that the switchboard holds."""

    def __init__(self, name: str, switchboard: Switchboard) -> None:
        super().__init__(name)
        self._switchboard = switchboard
        self.ready = True  # to be registered; whether it can answer is `healthy`, which the switchboard knows

    async def healthy(self) -> bool:
        """Whether a request that arrives can be answered."""
        return self._switchboard.loaded

    def validate(self, payload: Any) -> Any:
        """Nothing: `predict` validates, with sentences of its own."""
        return payload

    def get_input_types(self) -> list[dict[str, Any]]:
        """The tensors of a v2 request."""
        return [
            {"name": "query", "datatype": "BYTES", "shape": [1]},
            {"name": "documents", "datatype": "BYTES", "shape": [-1]},
        ]

    def get_output_types(self) -> list[dict[str, Any]]:
        """The tensors of a v2 response."""
        return [{"name": "scores", "datatype": "FP32", "shape": [-1]}]

    async def predict(
        self, payload: Payload, headers: dict[str, str] | None = None, response_headers: dict[str, str] | None = None
    ) -> dict[str, Any] | InferResponse:
        """Answer a v1 request (a dict of instances) or a v2 request (tensors `query` and `documents`).

        Raises:
            RefusalError: when the request is not one of these, or cannot be answered now.
        """
        if isinstance(payload, InferRequest):
            return await self._infer(payload)
        if not isinstance(payload, dict):
            raise invalid('The request is not a JSON object; send {"instances": [{"query": …, "documents": […]}]}.')
        try:
            request = PredictRequest.model_validate(payload)
        except ValidationError as error:
            raise invalid(sentence_of(error.errors())) from None
        predictions = await find_similar(self._switchboard.current, self._switchboard.settings, request.instances)
        return {"predictions": predictions}

    async def _infer(self, request: InferRequest) -> InferResponse:
        queries = texts_of(request, "query")
        documents = texts_of(request, "documents")
        if len(queries) != 1:
            raise invalid(f"The input 'query' has {len(queries)} elements and must have 1.")
        if not documents or not queries[0]:
            raise invalid("The inputs 'query' and 'documents' must not be empty.")
        check_limits(self._switchboard.settings, [*queries, *documents])
        served = self._switchboard.current
        (answer,) = await served.rank([(queries[0], documents)])
        scores = InferOutput(name="scores", shape=[len(documents)], datatype="FP32", data=answer.scores)
        return InferResponse(
            response_id=request.id or "",
            model_name=self.name,
            model_version=served.version,
            infer_outputs=[scores],
        )


def texts_of(request: InferRequest, name: str) -> list[str]:
    """The texts in a BYTES tensor, however it came: JSON strings, protobuf bytes, or the binary extension.

    Raises:
        RefusalError: when there is no such tensor, or it does not hold UTF-8 texts.
    """
    tensor = request.get_input_by_name(name)
    if tensor is None:
        raise invalid("The request needs two inputs of datatype BYTES, named 'query' and 'documents'.")
    if tensor.datatype != "BYTES":
        raise invalid(f"The input '{name}' must have datatype BYTES.")
    try:
        return [_text(element) for element in _elements(tensor)]
    except (ValueError, TypeError, IndexError, InvalidInput):
        raise invalid(f"The input '{name}' does not hold UTF-8 texts in the shape that it states.") from None


def _elements(tensor: InferInput) -> list[Any]:
    binary = tensor._raw_data is not None  # kserve has no public way to ask
    elements: list[Any] = tensor.as_numpy().ravel().tolist() if binary else _flat(list(tensor.data))
    if len(elements) != _volume(tensor.shape):
        raise ValueError("shape")
    return elements


def _flat(data: list[Any]) -> list[Any]:
    flat = []
    stack = list(reversed(data))
    while stack:
        element = stack.pop()
        if isinstance(element, list):
            stack.extend(reversed(element))
        else:
            flat.append(element)
    return flat


def _volume(shape: list[int]) -> int:
    volume = 1
    for size in shape:
        volume *= size
    return volume


def _text(element: Any) -> str:
    if isinstance(element, bytes):
        return element.decode("utf-8")
    if isinstance(element, str):
        element.encode("utf-8")  # a lone surrogate is not a text: raises ValueError
        return element
    raise TypeError(type(element).__name__)
