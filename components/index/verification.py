"""Proof that an index finds what exact search finds, before anything is switched to it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from components.dataset.evaluation_set import EvaluationSet, open_evaluation_set
from components.dataset.manifest import DEFAULT_SPLIT
from components.errors import StoreError
from components.evaluate.evaluate import without_itself
from components.evaluate.metrics import per_query_metrics
from components.evaluate.search import Ranking
from components.index.options import IndexOptions
from components.model.encoder import Encoder, comparable
from components.records.scores import HEADLINE
from components.search.reader import NOTHING, Hits, Index
from components.search.shard import Vectors
from components.search.version import Verification

_K = 10


class MissedBoundError(StoreError):
    """An index does not find enough; names the bound and by how much it was missed."""


class Judgement(NamedTuple):
    """The queries that an index is verified with."""

    queries: list[str]  #: their ids
    vectors: Vectors
    qrels: Mapping[str, Mapping[str, int]]
    dataset_digest: str
    judged_ndcg: float | None  #: what the gate saw, of a model on this very corpus with all of the queries


def judgement(
    encoder: Encoder, dataset: Path, options: IndexOptions, judged_ndcg: float | None = None, split: str = DEFAULT_SPLIT
) -> Judgement:
    """Return the first queries of a dataset's evaluation set, embedded by the model that embedded the passages.

    Args:
        encoder: of the index.
        dataset: a dataset version or a BEIR folder.
        options: says how many queries.
        judged_ndcg: NDCG@10 that the gate saw; used where all queries are taken.
        split: which qrels of a BEIR folder.
    """
    opened: EvaluationSet = open_evaluation_set(dataset, split)
    ids = list(opened.queries)[: options.queries]
    vectors = comparable(encoder.encode_queries([opened.queries[name] for name in ids]), encoder.config)
    is_all = len(ids) == len(opened.queries)
    return Judgement(ids, vectors, opened.qrels, opened.digest, judged_ndcg if is_all else None)


def verify_index(index: Index, asked: Judgement, options: IndexOptions) -> Verification:
    """Ask an index what it was made for, and compare its answers with those of exact search.

    NDCG@10 is measured where the index has every passage that the dataset calls relevant. Where its corpus is the
    dataset's own, it is held against the value that the gate judged.

    Raises:
        MissedBoundError: when it finds less than the options demand.
    """
    exact = index.search_exactly(asked.vectors, _K + 1)
    found = exact if index.is_exact else index.search(asked.vectors, _K + 1)
    recall = _recall(found, exact)
    result = Verification(
        queries=len(asked.queries),
        dataset_digest=asked.dataset_digest,
        recall=recall,
        min_recall=options.min_recall,
        max_ndcg_drop=options.max_ndcg_drop,
    )
    if _holds_all_relevant(index, asked):
        judged = asked.judged_ndcg
        result = result.model_copy(
            update={
                "ndcg_index": _ndcg(index, found, asked),
                "ndcg_exact": judged if judged is not None else _ndcg(index, exact, asked),
            }
        )
    _check(result)
    return result


def _check(result: Verification) -> None:
    if result.recall < result.min_recall:
        raise MissedBoundError(
            f"recall@10 of the index is {result.recall:.4f} on {result.queries:,} queries, below the bound of "
            f"{result.min_recall} (min_recall)"
        )
    if result.ndcg_exact is None or result.ndcg_index is None:
        return
    drop = result.ndcg_exact - result.ndcg_index
    if drop > result.max_ndcg_drop:
        raise MissedBoundError(
            f"NDCG@10 through the index is {result.ndcg_index:.4f} on {result.queries:,} queries, {drop:.4f} below the "
            f"exact {result.ndcg_exact:.4f} where {result.max_ndcg_drop} is allowed (max_ndcg_drop)"
        )


def _recall(found: Hits, exact: Hits) -> float:
    """Return the share of each query's ten best that was found, in the mean."""
    shares = []
    for ours, best in zip(found.positions[:, :_K].tolist(), exact.positions[:, :_K].tolist(), strict=True):
        wanted = {place for place in best if place != NOTHING}
        shares.append(len(wanted.intersection(ours)) / len(wanted))
    return fmean(shares)


def _holds_all_relevant(index: Index, asked: Judgement) -> bool:
    relevant = {passage for query in asked.queries for passage, grade in asked.qrels[query].items() if grade > 0}
    return len(index.positions(sorted(relevant))) == len(relevant)


def _ndcg(index: Index, hits: Hits, asked: Judgement) -> float:
    rankings = dict(_rankings(index, hits, asked))
    scores = per_query_metrics(rankings, {query: asked.qrels[query] for query in asked.queries})
    return fmean(scores[HEADLINE].values())


def _rankings(index: Index, hits: Hits, asked: Judgement) -> Iterator[tuple[str, Ranking]]:
    for query, positions, scores in zip(asked.queries, hits.positions, hits.scores, strict=True):
        names = index.ids(positions)
        pairs = list(zip(names, scores[: len(names)].tolist(), strict=True))
        yield query, without_itself(query, pairs, dict(asked.qrels[query]))
