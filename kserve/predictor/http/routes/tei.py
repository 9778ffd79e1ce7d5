"""The routes of Hugging Face's text-embeddings-inference, for the clients that know no other."""

from importlib.metadata import version as version_of_package
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from predictor.api.ranking import best_first, check_inputs, check_limits, check_not_cut
from predictor.api.tei import SimilarityRequest, TeiEmbedRequest, TeiInfo, TeiRank, TeiRerankRequest
from predictor.api.versions import chosen, version_fields
from predictor.engine.served import Served
from predictor.engine.switchboard import Switchboard
from predictor.http.json_route import JsonRoute
from predictor.http.responses import JsonResponse, rendered
from predictor.http.routes.shared import Board, check_dimensions, faults, shortened, to_length_1, tokens_of

router = APIRouter(route_class=JsonRoute, tags=["text-embeddings-inference"])


@router.post("/embed", response_model=list[list[float]], responses=faults())
async def embed(body: TeiEmbedRequest, switchboard: Board, request: Request) -> Response:
    """Embed each text."""
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    check_inputs(switchboard.settings, texts)
    served = chosen(switchboard, request.scope)
    check_dimensions(served, body.dimensions)
    embedded = await served.embed(texts, body.prompt_name or "document")
    if body.truncate is False:
        check_not_cut(served, embedded, "inputs", status=413)
    vectors = shortened(served, embedded, body.dimensions)
    if body.normalize is not False:
        vectors = list(map(to_length_1, vectors))
    return JsonResponse(await rendered(vectors), headers=_counts(texts, tokens_of(embedded)))


@router.post("/rerank", response_model=list[TeiRank], response_model_exclude_none=True, responses=faults())
async def rerank(body: TeiRerankRequest, switchboard: Board, request: Request) -> Response:
    """Rank the texts by their similarity to the query."""
    scores, headers = await _compare(switchboard, request, body.query, body.texts, cut=body.truncate is not False)
    ranks: list[dict[str, Any]] = [{"index": position, "score": scores[position]} for position in best_first(scores)]
    if body.return_text:
        for rank in ranks:
            rank["text"] = body.texts[rank["index"]]
    return JsonResponse(ranks, headers=headers)


@router.post("/similarity", response_model=list[float], responses=faults())
async def similarity(body: SimilarityRequest, switchboard: Board, request: Request) -> Response:
    """Compare each sentence with the first, all of them embedded as documents."""
    inputs, cut = body.inputs, (body.parameters or {}).get("truncate") is not False
    texts = [inputs.source_sentence, *inputs.sentences]
    check_limits(switchboard.settings, texts)
    served = chosen(switchboard, request.scope)
    embedded = await served.embed(texts, "document")
    if not cut:
        check_not_cut(served, embedded, "sentences", status=413)
    scores = served.similarities(embedded[0], embedded[1:])
    return JsonResponse(scores, headers=_counts(texts, tokens_of(embedded)))


@router.get("/info", response_model=TeiInfo, responses=faults(401, 403, 421, 503))
async def info(switchboard: Board, request: Request) -> dict[str, Any]:
    """Describe the model in service and its limits."""
    served, settings = chosen(switchboard, request.scope), switchboard.settings
    return {
        "model_id": f"{settings.model_name}@{served.version}",
        "model_sha": served.digest,
        "model_dtype": _dtype(served),
        "model_type": {"embedding": {"pooling": served.config.pooling}},
        "max_concurrent_requests": settings.max_connections,
        "max_input_length": served.config.max_seq_length,
        "max_batch_tokens": settings.batch_tokens,
        "max_client_batch_size": settings.max_inputs,
        "auto_truncate": True,
        "version": version_of_package("ranklift"),
        **version_fields(served),
    }


@router.get("/health", response_class=Response, responses=faults(403, 421, 503))
async def health(switchboard: Board, request: Request) -> Response:
    """Status 200 with nothing in it while requests should be sent here."""
    chosen(switchboard, request.scope)
    return Response() if switchboard.ready else Response(status_code=503)


async def _compare(
    switchboard: Switchboard, request: Request, query: str, texts: list[str], *, cut: bool
) -> tuple[list[float], dict[str, str]]:
    check_limits(switchboard.settings, [query, *texts])
    served = chosen(switchboard, request.scope)
    (answer,) = await served.rank([(query, texts)])
    if not cut:
        check_not_cut(served, answer.embedded, "texts", status=413)
    return answer.scores, _counts([query, *texts], answer.tokens)


def _counts(texts: list[str], tokens: int) -> dict[str, str]:
    characters = sum(map(len, texts))
    return {"x-compute-type": "cpu", "x-compute-tokens": str(tokens), "x-compute-characters": str(characters)}


def _dtype(served: Served) -> str:
    return {"fp32": "float32", "bf16": "bfloat16"}.get(served.config.precision, served.config.precision)
