"""Cohere's routes, of both versions of its API, and Jina's, whose rerank is Cohere's."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from predictor.api.cohere import (
    EmbeddingType,
    EmbedRequest,
    EmbedResponse,
    RerankDocument,
    RerankRequest,
    RerankResponse,
)
from predictor.api.embedding_types import packed_signs
from predictor.api.ranking import best_first, check_inputs, check_limits, check_not_cut
from predictor.api.versions import chosen, version_fields
from predictor.engine.served import Served, Side
from predictor.engine.switchboard import Switchboard
from predictor.http.json_route import JsonRoute
from predictor.http.responses import JsonResponse, rendered
from predictor.http.routes.shared import Board, as_base64, check_dimensions, faults, new_id, shortened, tokens_of
from predictor.refusal import invalid

router = APIRouter(route_class=JsonRoute, tags=["Jina, Cohere"])


@router.post("/v1/rerank", response_model=RerankResponse, responses=faults())
async def rerank_v1(body: RerankRequest, switchboard: Board, request: Request) -> Response:
    """Documents in the order of their relevance to a query, as the rerank APIs of Jina and Cohere give them."""
    return await _rerank(body, switchboard, request, "1")


@router.post("/v2/rerank", response_model=RerankResponse, responses=faults())
async def rerank_v2(body: RerankRequest, switchboard: Board, request: Request) -> Response:
    """Rerank documents for Cohere's ClientV2."""
    return await _rerank(body, switchboard, request, "2")


@router.post("/v1/embed", response_model=EmbedResponse, responses=faults())
async def embed_v1(body: EmbedRequest, switchboard: Board, request: Request) -> Response:
    """Embeddings, as Cohere's first API gives them: a list, unless types are asked for."""
    texts, rows, answer = await _embed(body, switchboard, request, "1")
    if body.embedding_types is None:
        return JsonResponse(
            {**answer, "response_type": "embeddings_floats", "embeddings": await rendered(rows), "texts": texts}
        )
    return JsonResponse({**answer, **await _by_type(body, rows), "texts": texts})


@router.post("/v2/embed", response_model=EmbedResponse, responses=faults())
async def embed_v2(body: EmbedRequest, switchboard: Board, request: Request) -> Response:
    """Embeddings by type, as Cohere's second API gives them."""
    texts, rows, answer = await _embed(body, switchboard, request, "2")
    return JsonResponse({**answer, **await _by_type(body, rows), "texts": texts})


async def _rerank(body: RerankRequest, switchboard: Switchboard, request: Request, api: str) -> Response:
    documents = [item.text if isinstance(item, RerankDocument) else item for item in body.documents]
    check_limits(switchboard.settings, [body.query, *documents])
    served = chosen(switchboard, request.scope, body.model)
    (answer,) = await served.rank([(body.query, documents)])
    results: list[dict[str, Any]] = [
        {"index": position, "relevance_score": answer.scores[position]}
        for position in best_first(answer.scores)[: body.top_n]
    ]
    if body.return_documents:
        for result in results:
            result["document"] = {"text": documents[result["index"]]}
    return JsonResponse(
        {
            "id": new_id(),
            "model": switchboard.settings.model_name,
            "results": results,
            "usage": {"prompt_tokens": answer.tokens, "total_tokens": answer.tokens},
            "meta": {**_meta(api, answer.tokens), "billed_units": {"search_units": 1}},
            **version_fields(served),
        }
    )


async def _embed(
    body: EmbedRequest, switchboard: Switchboard, request: Request, api: str
) -> tuple[list[str], list[Any], dict[str, Any]]:
    """Return the texts, an embedding of each, and what is the same in every shape of the answer."""
    texts = _texts_of(body)
    check_inputs(switchboard.settings, texts)
    served = chosen(switchboard, request.scope, body.model)
    check_dimensions(served, body.output_dimension)
    embedded = await served.embed(texts, _side_of(body, served))
    if body.truncate == "NONE":
        check_not_cut(served, embedded, "texts", status=400)
    tokens = tokens_of(embedded)
    answer = {
        "id": new_id(),
        "meta": {**_meta(api, tokens), "billed_units": {"input_tokens": tokens}},
        **version_fields(served),
    }
    return texts, shortened(served, embedded, body.output_dimension), answer


def _texts_of(body: EmbedRequest) -> list[str]:
    if body.inputs:
        return ["".join(part.text for part in item.content) for item in body.inputs]
    if not body.texts:
        raise invalid("texts must be a list of at least one text.")
    return body.texts


def _side_of(body: EmbedRequest, served: Served) -> Side:
    return "query" if body.input_type == "search_query" else "document"


async def _by_type(body: EmbedRequest, rows: list[Any]) -> dict[str, Any]:
    default: list[EmbeddingType] = ["float"]
    embeddings: dict[str, Any] = {}
    for kind in dict.fromkeys(body.embedding_types or default):  # each once, however often it is asked for
        embeddings[kind] = await _as_type(kind, rows)
    return {"response_type": "embeddings_by_type", "embeddings": embeddings}


async def _as_type(kind: EmbeddingType, rows: list[Any]) -> Any:
    if kind == "base64":
        return [as_base64(row) for row in rows]
    return await rendered(rows if kind == "float" else packed_signs(rows, signed=kind == "binary"))


def _meta(api: str, tokens: int) -> dict[str, Any]:
    return {"api_version": {"version": api}, "tokens": {"input_tokens": tokens}}
