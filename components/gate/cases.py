"""The queries that a new model wins and loses by most, with what both models found for them."""

from collections.abc import Sequence
from html import escape

from components.dataset.evaluation_set import EvaluationSet
from components.html_page import section
from components.records.scores import HEADLINE, ScoreFile

_CASES = 10
_PASSAGES = 3
_LONGEST = 280  # characters of a passage that are shown


def cases(candidate: ScoreFile, champion: ScoreFile, evaluation_set: EvaluationSet | None) -> str:
    """Two HTML sections, wins and losses: query, best passages, and rank of the first relevant passage in each model.

    Without an evaluation set ids stand in for the texts.
    """
    ours, theirs = candidate.per_query[HEADLINE], champion.per_query[HEADLINE]
    order = sorted(ours, key=lambda query: (theirs[query] - ours[query], query))
    wins = [query for query in order[:_CASES] if ours[query] > theirs[query]]
    losses = [query for query in order[::-1][:_CASES] if ours[query] < theirs[query]]
    texts = _texts(evaluation_set, [*wins, *losses], candidate, champion)
    return "\n".join(
        section(title, *(_case(query, candidate, champion, evaluation_set, texts) for query in queries))
        for title, queries in (("Wins", wins), ("Losses", losses))
        if queries
    )


def _texts(
    evaluation_set: EvaluationSet | None, queries: Sequence[str], candidate: ScoreFile, champion: ScoreFile
) -> dict[str, str]:
    if evaluation_set is None:
        return {}
    shown = {name for scores in (candidate, champion) for query in queries for name in _best(scores, query)}
    relevant = {name for query in queries for name in _relevant(evaluation_set, query)}
    return evaluation_set.texts(sorted(shown | relevant))


def _case(
    query: str,
    candidate: ScoreFile,
    champion: ScoreFile,
    evaluation_set: EvaluationSet | None,
    texts: dict[str, str],
) -> str:
    text = query if evaluation_set is None else evaluation_set.queries[query]
    relevant = [] if evaluation_set is None else _relevant(evaluation_set, query)
    sides = "".join(
        f"<div>{_side(role, scores, query, relevant, texts)}</div>"
        for role, scores in (("candidate", candidate), ("champion", champion))
    )
    sought = "".join(f"<li>{_passage(name, texts)}</li>" for name in relevant[:_PASSAGES])
    wanted = f"<p class=quiet>relevant:</p><ul>{sought}</ul>" if sought else ""
    return f"<article><p><b>{escape(text)}</b></p>{wanted}<div class=sides>{sides}</div></article>"


def _side(role: str, scores: ScoreFile, query: str, relevant: Sequence[str], texts: dict[str, str]) -> str:
    rank = scores.first_relevant.get(query)
    place = f"first relevant passage at rank {rank}" if rank else "no relevant passage in the ranking"
    best = "".join(
        f"<li>{'<span class=good>relevant</span> ' if name in relevant else ''}{_passage(name, texts)}</li>"
        for name in _best(scores, query)
    )
    head = f"<p class=quiet>{role}: NDCG@10 {scores.per_query[HEADLINE][query]:.4f}, {place}</p>"
    return f"{head}<ol>{best}</ol>"


def _passage(name: str, texts: dict[str, str]) -> str:
    text = texts.get(name, "")
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST].rstrip()}…"
    return f"<span class=quiet>{escape(name)}</span> {escape(short)}"


def _best(scores: ScoreFile, query: str) -> list[str]:
    return scores.top.get(query, [])[:_PASSAGES]


def _relevant(evaluation_set: EvaluationSet, query: str) -> list[str]:
    judged = evaluation_set.qrels[query]
    return sorted((name for name in judged if judged[name] > 0), key=lambda name: (-judged[name], name))
