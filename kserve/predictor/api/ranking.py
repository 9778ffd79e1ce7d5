"""From scores to the answer of a find-similar request, the same on every interface."""

from collections.abc import Sequence
from typing import Any

from predictor.api.schemas import FindSimilarRequest
from predictor.api.versions import version_fields
from predictor.engine.cache import Embedded
from predictor.engine.served import Served
from predictor.refusal import RefusalError, invalid
from predictor.settings import PredictorSettings


def check_limits(settings: PredictorSettings, texts: Sequence[str], queries: int = 1) -> None:
    """Refuse more or longer texts to compare than the settings allow, and what is not text.

    Raises:
        RefusalError: 422 with the limit and the flag that raises it.
    """
    if len(texts) > settings.max_documents + queries:
        raise invalid(
            f"The request has {len(texts)} texts, with the query, where {settings.max_documents + queries} is the "
            "limit; send fewer at a time (--max_documents sets the limit)."
        )
    _check_texts(settings, texts)


def check_inputs(settings: PredictorSettings, texts: Sequence[str]) -> None:
    """Refuse more or longer texts to embed than the settings allow, and what is not text.

    Raises:
        RefusalError: 422 with the limit and the flag that raises it.
    """
    if len(texts) > settings.max_inputs:
        raise invalid(
            f"The request has {len(texts)} texts where {settings.max_inputs} is the limit; send fewer at a time "
            "(--max_inputs sets the limit)."
        )
    _check_texts(settings, texts)


def check_not_cut(served: Served, embedded: Sequence[Embedded], field: str, *, status: int) -> None:
    """Refuse texts that are longer than the model reads, for a client that does not want them cut.

    Raises:
        RefusalError: with the status, and the number of tokens that the model reads.
    """
    for position, item in enumerate(embedded):
        if item.was_cut:
            limit = served.config.max_seq_length
            raise RefusalError(
                status,
                f"{field}[{position}] has more than {limit} tokens, which is what the model reads; shorten it, or "
                "let it be cut (truncate).",
                headers={"x-compute-tokens": str(sum(item.tokens for item in embedded))},
            )


def _check_texts(settings: PredictorSettings, texts: Sequence[str]) -> None:
    if not all(map(_is_unicode, texts)):
        raise invalid("A text holds a lone surrogate; texts must be valid Unicode.")
    longest = max(map(len, texts))
    if longest > settings.max_characters:
        raise invalid(
            f"A text has {longest} characters where {settings.max_characters} is the limit; "
            "shorten it (--max_characters sets the limit)."
        )


def _is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8; JSON's escapes can spell lone surrogates, which cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


async def find_similar(
    served: Served, settings: PredictorSettings, requests: Sequence[FindSimilarRequest]
) -> list[dict[str, Any]]:
    """Answer requests together, each in the shape of `FindSimilarResponse`.

    Raises:
        RefusalError: when a limit is passed, the queue is full or the deadline passes.
    """
    check_limits(settings, [text for request in requests for text in (request.query, *request.documents)])
    answers = await served.rank([(request.query, request.documents) for request in requests])
    return [
        _answer(request, answer.scores, served, settings.model_name)
        for request, answer in zip(requests, answers, strict=True)
    ]


def best_first(scores: Sequence[float]) -> list[int]:
    """Positions by falling score; among equals the earlier one first."""
    return sorted(range(len(scores)), key=lambda position: -scores[position])


def _answer(request: FindSimilarRequest, scores: list[float], served: Served, model_name: str) -> dict[str, Any]:
    order = best_first(scores)
    ranking: list[dict[str, Any]] = [
        {"index": position, "score": scores[position]} for position in order[: request.top_k]
    ]
    if request.return_documents:
        for ranked in ranking:
            ranked["document"] = request.documents[ranked["index"]]
    best = order[0]
    return {
        "document": request.documents[best],
        "index": best,
        "score": scores[best],
        "ranking": ranking,
        "model_name": model_name,
        **version_fields(served),
    }
