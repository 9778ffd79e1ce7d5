"""The model as KServe sees it: what it is asked over the v1 protocol and over the Open Inference Protocol."""

from contextvars import ContextVar
from typing import Any

import numpy as np
from kserve.model import Model
from pydantic import ValidationError

from predictor.api.ranking import check_limits, find_similar
from predictor.api.schemas import PredictRequest
from predictor.api.sentences import refusal_for
from predictor.api.tensors import Asked, Limit, Schema, Tensor
from predictor.engine.served import Served
from predictor.engine.switchboard import Switchboard
from predictor.refusal import invalid

#: The model that the running request was promised: KServe's way to `predict` has no place for it.
ANSWERING: ContextVar[Served | None] = ContextVar("ANSWERING", default=None)


class RankModel(Model):
    """Ranks documents by their similarity to a query, with the model that the switchboard holds."""

    def __init__(self, name: str, switchboard: Switchboard) -> None:
        super().__init__(name)
        self._switchboard = switchboard
        self.ready = True  # to be registered; whether it can answer is `healthy`, which the switchboard knows

    @property
    def schema(self) -> Schema:
        """The tensors that a v2 request may have."""
        limit = Limit(self._switchboard.settings.max_documents + 1, "max_documents")
        return Schema({"query": limit, "documents": limit}, ("query", "documents"), ("scores",))

    def check(self, served: Served) -> None:
        """Nothing: whatever serves can rank."""

    def named(self, served: Served) -> dict[str, str]:
        """Return what an answer says of who gave it, besides the model's version."""
        return {"model_digest": served.digest}

    async def healthy(self) -> bool:
        """Whether a request that arrives can be answered."""
        return self._switchboard.loaded

    def validate(self, payload: Any) -> Any:
        """Nothing: `predict` validates, with its own messages."""
        return payload

    def get_input_types(self) -> list[dict[str, Any]]:
        """Return the tensors of a v2 request."""
        return [
            {"name": "query", "datatype": "BYTES", "shape": [1]},
            {"name": "documents", "datatype": "BYTES", "shape": [-1]},
        ]

    def get_output_types(self) -> list[dict[str, Any]]:
        """Return the tensors of a v2 response."""
        return [{"name": "scores", "datatype": "FP32", "shape": [-1]}]

    async def predict(
        self, payload: Any, headers: dict[str, str] | None = None, response_headers: dict[str, str] | None = None
    ) -> Any:
        """Answer a v1 request (a dict of instances) or a v2 request.

        Raises:
            RefusalError: when the request is not one of these, or cannot be answered now.
        """
        served = ANSWERING.get() or self._switchboard.current
        settings = self._switchboard.settings
        if isinstance(payload, Asked):
            query, documents = _query_of(payload)
            check_limits(settings, [query, *documents])
            (answer,) = await served.rank([(query, documents)])
            return [Tensor("scores", "FP32", np.array(answer.scores, dtype=np.float32))]
        if not isinstance(payload, dict):
            raise invalid('The request is not a JSON object; send {"instances": [{"query": …, "documents": […]}]}.')
        try:
            request = PredictRequest.model_validate(payload)
        except ValidationError as error:
            raise refusal_for(error.errors(include_input=False)) from None
        return {"predictions": await find_similar(served, settings, request.instances)}


def _query_of(asked: Asked) -> tuple[str, list[str]]:
    queries, documents = asked.texts["query"], asked.texts["documents"]
    if len(queries) != 1:
        raise invalid(f"The input 'query' has {len(queries)} elements and must have 1.")
    if not documents or not queries[0]:
        raise invalid("The inputs 'query' and 'documents' must not be empty.")
    return queries[0], documents
