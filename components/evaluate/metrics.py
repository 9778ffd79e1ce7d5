"""The field's retrieval metrics, per query, by trec_eval itself (through pytrec_eval)."""

from collections.abc import Mapping
from statistics import fmean

from components.evaluate.search import Ranking
from components.records.scores import HEADLINE

PerQuery = dict[str, dict[str, float]]  #: {metric: {query_id: value in [0, 1]}}

#: Metric names here, and trec_eval's. MAP without a cut-off is over the whole ranking, as deep as the search went.
_TREC_EVAL = {
    **{f"ndcg@{cut}": f"ndcg_cut_{cut}" for cut in (1, 3, 5, 10, 20, 100)},
    **{f"recall@{cut}": f"recall_{cut}" for cut in (1, 3, 5, 10, 20, 100, 1000)},
    **{f"p@{cut}": f"P_{cut}" for cut in (1, 3, 5, 10, 20)},
    **{f"map@{cut}": f"map_cut_{cut}" for cut in (10, 100)},
    "map": "map",
}
# trec_eval's reciprocal rank has no cut-off, so the ranking is cut before it.
_RECIPROCAL_RANK_CUTS = (10, 100)

METRICS = (*_TREC_EVAL, *(f"mrr@{cut}" for cut in _RECIPROCAL_RANK_CUTS))
#: What a score file keeps for every query; of the others it keeps the mean.
PER_QUERY = (HEADLINE, "mrr@10", "recall@100", "map")


def per_query_metrics(rankings: Mapping[str, Ranking], qrels: Mapping[str, Mapping[str, int]]) -> PerQuery:
    """Every metric of every judged query.

    NDCG takes the relevance grades as linear gains with a logarithmic discount (Järvelin and Kekäläinen 2002, as in
    trec_eval); the other metrics count a passage as relevant from grade 1. Unjudged passages and negative grades, which
    some TREC collections use for junk, count as not relevant. A query without ranking or relevant passage scores 0.

    Args:
        rankings: (passage_id, score) pairs by query_id.
        qrels: grade by query_id and passage_id.
    """
    import pytrec_eval

    grades = {query: {doc: max(0, grade) for doc, grade in judged.items()} for query, judged in qrels.items()}
    runs = {query: dict(ranking) for query, ranking in rankings.items() if ranking and query in grades}
    found = pytrec_eval.RelevanceEvaluator(grades, set(map(_family, _TREC_EVAL.values()))).evaluate(runs)
    result = {
        ours: {query: found.get(query, {}).get(trec, 0.0) for query in qrels} for ours, trec in _TREC_EVAL.items()
    }
    for cut in _RECIPROCAL_RANK_CUTS:
        top = {query: dict(rankings[query][:cut]) for query in runs}
        ranks = pytrec_eval.RelevanceEvaluator(grades, {"recip_rank"}).evaluate(top)
        result[f"mrr@{cut}"] = {query: ranks.get(query, {}).get("recip_rank", 0.0) for query in qrels}
    return result


def means(per_query: PerQuery) -> dict[str, float]:
    """Return the mean of every metric over its queries."""
    return {metric: fmean(values.values()) for metric, values in per_query.items()}


def _family(measure: str) -> str:
    name, _, cut = measure.rpartition("_")
    return f"{name}.{cut}" if name else measure
