"""vLLM's score route: the similarity of pairs of texts."""

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from predictor.api.openai import Usage
from predictor.api.ranking import check_limits
from predictor.api.schemas import DOCUMENTS, MODEL, QUERY, StrictRequest, Texts, Versioned
from predictor.api.versions import chosen, version_fields
from predictor.http.json_route import JsonRoute
from predictor.http.responses import JsonResponse
from predictor.http.routes.shared import Board, faults, new_id
from predictor.refusal import invalid

router = APIRouter(route_class=JsonRoute, tags=["vLLM"])

OneOrMore = Annotated[str, Field(min_length=1)] | Annotated[Texts, Field(min_length=1)]


class ScoreRequest(StrictRequest):
    """Queries and documents: one query for all documents, or as many of each."""

    model_config = ConfigDict(json_schema_extra={"example": {"text_1": QUERY, "text_2": DOCUMENTS}})

    text_1: OneOrMore
    text_2: OneOrMore
    model: str | None = Field(None, description=MODEL)


class Score(BaseModel):
    """The similarity of one pair."""

    index: int
    object: Literal["score"] = "score"
    score: float


class ScoreResponse(Versioned):
    """One score for each pair, in order."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[Score]
    usage: Usage


@router.post("/score", response_model=ScoreResponse, responses=faults())
@router.post("/v1/score", response_model=ScoreResponse, responses=faults(), include_in_schema=False)
async def score(body: ScoreRequest, switchboard: Board, request: Request) -> Response:
    """Score the similarity of each document to its query."""
    queries = [body.text_1] if isinstance(body.text_1, str) else body.text_1
    documents = [body.text_2] if isinstance(body.text_2, str) else body.text_2
    check_limits(switchboard.settings, [*queries, *documents], queries=len(queries))
    served = chosen(switchboard, request.scope, body.model)
    answers = await served.rank(_pairs(queries, documents))
    scores = [number for answer in answers for number in answer.scores]
    tokens = sum(answer.tokens for answer in answers)
    return JsonResponse(
        {
            "id": new_id(),
            "object": "list",
            "created": int(time.time()),
            "model": switchboard.settings.model_name,
            "data": [{"index": index, "object": "score", "score": number} for index, number in enumerate(scores)],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            **version_fields(served),
        }
    )


def _pairs(queries: list[str], documents: list[str]) -> list[tuple[str, list[str]]]:
    if len(queries) == 1:
        return [(queries[0], documents)]
    if len(queries) != len(documents):
        raise invalid("text_1 must be one text, or as many as text_2 has.")
    return [(query, [document]) for query, document in zip(queries, documents, strict=True)]
