"""The queries that a new model wins and loses by most, with what both models found for them."""

from collections.abc import Sequence
from typing import NamedTuple

from components.dataset.evaluation_set import EvaluationSet
from components.records.scores import HEADLINE, ScoreFile

_CASES = 10
_PASSAGES = 3
_LONGEST = 280  # characters of a passage that are shown


class Passage(NamedTuple):
    """A passage, shortened to read."""

    id: str
    text: str  #: empty without an evaluation set
    is_relevant: bool


class Side(NamedTuple):
    """What one model found."""

    head: str  #: its score and the rank of its first relevant passage
    best: list[Passage]


class Case(NamedTuple):
    """One query."""

    query: str  #: its text, or its id without an evaluation set
    relevant: list[Passage]  #: what should be found, the best first
    sides: list[Side]  #: candidate and champion


def cases(
    candidate: ScoreFile, champion: ScoreFile, evaluation_set: EvaluationSet | None
) -> list[tuple[str, list[Case]]]:
    """Return wins and losses: query, best passages, and rank of the first relevant passage in each model.

    Without an evaluation set ids stand in for the texts.
    """
    ours, theirs = candidate.per_query[HEADLINE], champion.per_query[HEADLINE]
    order = sorted(ours, key=lambda query: (theirs[query] - ours[query], query))
    wins = [query for query in order[:_CASES] if ours[query] > theirs[query]]
    losses = [query for query in order[::-1][:_CASES] if ours[query] < theirs[query]]
    texts = _texts(evaluation_set, [*wins, *losses], candidate, champion)
    return [
        (title, [_case(query, candidate, champion, evaluation_set, texts) for query in queries])
        for title, queries in (("Wins", wins), ("Losses", losses))
    ]


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
) -> Case:
    relevant = [] if evaluation_set is None else _relevant(evaluation_set, query)
    return Case(
        query=query if evaluation_set is None else evaluation_set.queries[query],
        relevant=[_passage(name, texts, relevant) for name in relevant[:_PASSAGES]],
        sides=[
            _side(role, scores, query, [_passage(name, texts, relevant) for name in _best(scores, query)])
            for role, scores in (("candidate", candidate), ("champion", champion))
        ],
    )


def _side(role: str, scores: ScoreFile, query: str, best: list[Passage]) -> Side:
    rank = scores.first_relevant.get(query)
    place = f"first relevant passage at rank {rank}" if rank else "no relevant passage in the ranking"
    return Side(f"{role}: NDCG@10 {scores.per_query[HEADLINE][query]:.4f}, {place}", best)


def _passage(name: str, texts: dict[str, str], relevant: Sequence[str]) -> Passage:
    text = texts.get(name, "")
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST].rstrip()}…"
    return Passage(name, short, name in relevant)


def _best(scores: ScoreFile, query: str) -> list[str]:
    return scores.top.get(query, [])[:_PASSAGES]


def _relevant(evaluation_set: EvaluationSet, query: str) -> list[str]:
    judged = evaluation_set.qrels[query]
    return sorted((name for name in judged if judged[name] > 0), key=lambda name: (-judged[name], name))
