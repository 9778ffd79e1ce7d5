"""A search in the index: its request, its answer, and what is refused."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from predictor.api.ranking import check_inputs
from predictor.api.schemas import MODEL, QUERY, Count, StrictRequest, Text, Texts, Versioned
from predictor.api.versions import demanded, version_fields
from predictor.engine.index import Found, ServedIndex
from predictor.engine.served import Served
from predictor.refusal import RefusalError, invalid
from predictor.settings import PredictorSettings

INDEX_VERSION_HEADER = "X-Ranklift-Index-Version"
INDEX_DIGEST_HEADER = "X-Ranklift-Index-Digest"
DEFAULT_TOP_K = 10

_INDEX = "Version or digest of the index that must answer, such as V2; default: any."


class SearchRequest(StrictRequest):
    """A query, or several, and how many passages each is to find."""

    model_config = ConfigDict(json_schema_extra={"example": {"query": QUERY, "top_k": 10}})

    query: Text | None = Field(None, min_length=1, description="One query; the answer has its `hits`.")
    queries: Texts | None = Field(None, min_length=1, description="Several; the answer has `results`, one for each.")
    top_k: Count | None = Field(None, description="How many passages each query finds at most; default: 10.")
    ids: Texts | None = Field(None, description="The only passages that may be found; unknown ids are left out.")
    return_texts: bool | None = Field(None, description="Whether passages come with their text; default: true.")
    model: str | None = Field(None, description=MODEL)
    index: str | None = Field(None, description=_INDEX)


class Hit(BaseModel):
    """A passage of the index."""

    id: str
    score: float = Field(description="Similarity to the query; in [-1, 1] for a cosine model.")
    text: str | None = Field(None, description="The beginning of its text, where the index keeps texts.")


class Result(BaseModel):
    """What one of several queries found."""

    hits: list[Hit] = Field(description="Best first.")


class Indexed(Versioned):
    """An answer that names the index it is from, and the model of both."""

    index_version: str = Field(description="Version of the index that answered, such as V2.")
    index_digest: str = Field(description="SHA-256 of the index: of the model, the corpus and every file.")


class SearchResponse(Indexed):
    """The passages nearest to a query, or to each of several."""

    hits: list[Hit] | None = Field(None, description="For `query`: best first.")
    results: list[Result] | None = Field(None, description="For `queries`: one for each, in order.")
    model_name: str


class IndexResponse(Indexed):
    """The index in service."""

    passages: int
    dimension: int
    similarity: str
    has_texts: bool
    is_exact: bool = Field(description="Whether every query is compared with every passage.")
    # Not where the corpus came from: that may be the address of a database.
    corpus_digest: str


async def search(served: Served, settings: PredictorSettings, request: SearchRequest) -> dict[str, Any]:
    """Answer a request, in the shape of `SearchResponse`; see `searched`."""
    found = await searched(served, settings, request)
    index = index_of(served)
    texts = request.return_texts is not False and index.manifest.has_texts
    results = [_hits(hits, texts=texts) for hits in found]
    answer = {"hits": results[0]} if request.queries is None else {"results": [{"hits": hits} for hits in results]}
    return {**answer, "model_name": settings.model_name, **version_fields(served), **index_fields(index)}


async def searched(served: Served, settings: PredictorSettings, request: SearchRequest) -> list[list[Found]]:
    """Return what each query of a request finds, on every protocol.

    Raises:
        RefusalError: when there is no index, or not the demanded one, a limit is passed, the queue is full or the
            deadline passes.
    """
    queries = _queries_of(request)
    top_k = request.top_k or DEFAULT_TOP_K
    _check_limits(settings, queries, top_k, request.ids)
    index_of(served, request.index)
    return await served.search(queries, top_k, request.ids) or []


def describe(served: Served, index: ServedIndex) -> dict[str, Any]:
    """Return the index in service, in the shape of `IndexResponse`."""
    manifest = index.manifest
    return {
        "passages": manifest.count,
        "dimension": manifest.dimension,
        "similarity": manifest.similarity,
        "has_texts": manifest.has_texts,
        "is_exact": manifest.graph is None,
        "corpus_digest": manifest.corpus.digest,
        **version_fields(served),
        **index_fields(index),
    }


def index_of(served: Served, demand: str | None = None) -> ServedIndex:
    """Return the index that answers.

    Raises:
        RefusalError: 404 where the model has none, 409 when it is not the demanded one.
    """
    index = served.index
    if index is None:
        raise RefusalError(
            404,
            f"Model {served.version} is in service without an index, so there is nothing to search; "
            "`ranklift run --index-corpus URI` makes one.",
        )
    if demand is not None and demand not in {index.version, index.digest}:
        raise RefusalError(
            409,
            f"The request demands {demanded(demand)} of the index, and {index.version} ({index.digest[:12]}) is in "
            "service.",
        )
    return index


def index_headers(index: ServedIndex) -> dict[str, str]:
    """Return the headers that name an index."""
    return {INDEX_VERSION_HEADER: index.version, INDEX_DIGEST_HEADER: index.digest}


def index_fields(index: ServedIndex) -> dict[str, str]:
    """Return the fields that name an index in an answer's body."""
    return {"index_version": index.version, "index_digest": index.digest}


def _queries_of(request: SearchRequest) -> list[str]:
    if request.query is not None and request.queries is None:
        return [request.query]
    if request.queries is not None and request.query is None:
        return request.queries
    raise invalid('Send either "query", one text, or "queries", a list of texts.')


def _check_limits(settings: PredictorSettings, queries: list[str], top_k: int, ids: Sequence[str] | None) -> None:
    check_inputs(settings, queries)
    if any(not query for query in queries):
        raise invalid("A query must not be empty.")
    if len(queries) * top_k > settings.max_hits:
        raise invalid(
            f"The request may find {len(queries) * top_k} passages, queries times top_k, where {settings.max_hits} is "
            "the limit; send fewer queries or a smaller top_k (--max_hits sets the limit)."
        )
    if ids is not None and len(ids) > settings.max_documents:
        raise invalid(
            f"The request has {len(ids)} ids where {settings.max_documents} is the limit; send fewer "
            "(--max_documents sets the limit)."
        )


def _hits(found: Sequence[Found], *, texts: bool) -> list[dict[str, Any]]:
    if not texts:
        return [{"id": hit.id, "score": hit.score} for hit in found]
    return [{"id": hit.id, "score": hit.score, "text": hit.text} for hit in found]
