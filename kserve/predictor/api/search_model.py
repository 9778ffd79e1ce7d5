"""The index as a second model of the Open Inference Protocol, beside the one that ranks: `ranklift-search`.

Queries find different numbers of passages, so the outputs are rows: what the first query found, then the second.
`counts` has how many each found.
"""

from typing import Any

import numpy as np
from kserve.model import Model
from pydantic import ValidationError

from predictor.api.kserve_model import ANSWERING
from predictor.api.search import SearchRequest, index_fields, index_of, searched
from predictor.api.sentences import refusal_for
from predictor.api.tensors import Asked, Limit, Schema, Tensor
from predictor.engine.served import Served
from predictor.engine.switchboard import Switchboard
from predictor.refusal import bad_request

_OUTPUTS = {"ids": "BYTES", "scores": "FP32", "texts": "BYTES", "counts": "INT32"}


def search_model_name(model_name: str) -> str:
    """Return the name of the model that searches, such as "ranklift-search"."""
    return f"{model_name}-search"


class SearchModel(Model):
    """Finds the passages of the index that are nearest to queries."""

    def __init__(self, name: str, switchboard: Switchboard) -> None:
        super().__init__(name)
        self._switchboard = switchboard
        self.ready = True  # see `RankModel`

    @property
    def schema(self) -> Schema:
        """The tensors that a v2 request may have."""
        settings = self._switchboard.settings
        limits = {
            "query": Limit(settings.max_inputs, "max_inputs"),
            "ids": Limit(settings.max_documents, "max_documents"),
        }
        return Schema(limits, ("query",), tuple(_OUTPUTS))

    def check(self, served: Served) -> None:
        """Refuse, where the model in service has no index."""
        index_of(served)

    def named(self, served: Served) -> dict[str, str]:
        """Return what an answer says of who gave it, besides the model's version."""
        return {"model_digest": served.digest, **index_fields(index_of(served))}

    async def healthy(self) -> bool:
        """Whether a request that arrives can be answered."""
        return self._switchboard.loaded

    def validate(self, payload: Any) -> Any:
        """Nothing: `predict` validates, with its own messages."""
        return payload

    def get_input_types(self) -> list[dict[str, Any]]:
        """Return the tensors of a v2 request."""
        return [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in ("query", "ids")]

    def get_output_types(self) -> list[dict[str, Any]]:
        """Return the tensors of a v2 response."""
        return [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in _OUTPUTS.items()]

    async def predict(
        self, payload: Any, headers: dict[str, str] | None = None, response_headers: dict[str, str] | None = None
    ) -> Any:
        """Answer a v2 request with a list of tensors.

        Raises:
            RefusalError: when it is none, cannot be answered now, or there is no index.
        """
        served = ANSWERING.get() or self._switchboard.current
        if not isinstance(payload, Asked):
            raise bad_request(f"{self.name} has no :predict; send POST /search, or /v2/models/{self.name}/infer.")
        index = index_of(served)
        has_texts = index.manifest.has_texts
        if payload.wanted is not None and "texts" in payload.wanted and not has_texts:
            raise bad_request("There is no output 'texts': the index keeps no texts.")
        found = await searched(served, self._switchboard.settings, _request_of(payload))
        hits = [hit for row in found for hit in row]
        texts = [Tensor("texts", "BYTES", [hit.text or "" for hit in hits])] if has_texts else []
        return [
            Tensor("ids", "BYTES", [hit.id for hit in hits]),
            Tensor("scores", "FP32", np.array([hit.score for hit in hits], dtype=np.float32)),
            *texts,
            Tensor("counts", "INT32", np.array([len(row) for row in found], dtype=np.int32)),
        ]


def _request_of(asked: Asked) -> SearchRequest:
    fields = {name: asked.parameters[name] for name in ("top_k", "index") if name in asked.parameters}
    if "ids" in asked.texts:
        fields["ids"] = asked.texts["ids"]
    try:
        return SearchRequest.model_validate({"queries": asked.texts["query"], **fields})
    except ValidationError as error:
        raise refusal_for(error.errors(include_input=False)) from None
