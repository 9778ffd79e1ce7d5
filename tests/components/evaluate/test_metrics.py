"""The metrics are trec_eval's: by hand on a small example, and by an independent tool on random data."""

from math import log2

import ir_measures
import numpy as np
import pytest
from ir_measures import AP, RR, P, R, nDCG

from components.evaluate.metrics import METRICS, PER_QUERY, means, per_query_metrics


def test_a_worked_example_with_grades() -> None:
    ranking = [("b", 0.9), ("a", 0.8), ("x", 0.7), ("c", 0.6)]
    found = per_query_metrics({"q": ranking}, {"q": {"a": 3, "b": 0, "c": 1, "d": 2}})
    ideal = 3 / log2(2) + 2 / log2(3) + 1 / log2(4)
    assert found["ndcg@10"]["q"] == pytest.approx((3 / log2(3) + 1 / log2(5)) / ideal)
    assert found["mrr@10"]["q"] == pytest.approx(1 / 2)
    assert found["recall@100"]["q"] == pytest.approx(2 / 3)
    assert found["map"]["q"] == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert found["p@5"]["q"] == pytest.approx(2 / 5)


def test_the_reciprocal_rank_ends_at_its_cut_off() -> None:
    ranking = [(f"p{place:02}", -float(place)) for place in range(20)]
    found = per_query_metrics({"q": ranking}, {"q": {"p10": 1}})
    assert (found["mrr@10"]["q"], found["mrr@100"]["q"]) == (0.0, pytest.approx(1 / 11))


@pytest.mark.parametrize(
    ("rankings", "qrels"),
    [
        pytest.param({}, {"q": {"a": 1}}, id="no ranking"),
        pytest.param({"q": []}, {"q": {"a": 1}}, id="an empty ranking"),
        pytest.param({"q": [("a", 1.0)]}, {"q": {"a": 0}}, id="nothing relevant"),
        pytest.param({"q": [("a", 1.0)]}, {"q": {"a": -2, "b": 1}}, id="a junk grade"),
    ],
)
def test_a_query_that_finds_nothing_scores_zero_and_is_counted(rankings, qrels) -> None:
    found = per_query_metrics(rankings, qrels)
    assert all(found[metric] == {"q": 0.0} for metric in METRICS)


def test_every_metric_comes_with_its_mean() -> None:
    found = per_query_metrics({"q": [("a", 1.0)], "r": [("b", 1.0)]}, {"q": {"a": 1}, "r": {"a": 1}})
    assert set(found) == set(METRICS) >= set(PER_QUERY)
    assert means(found)["ndcg@10"] == 0.5


OTHERS = {
    **{f"ndcg@{cut}": nDCG @ cut for cut in (1, 3, 5, 10, 20, 100)},
    **{f"recall@{cut}": R @ cut for cut in (1, 3, 5, 10, 20, 100, 1000)},
    **{f"p@{cut}": P @ cut for cut in (1, 3, 5, 10, 20)},
    **{f"map@{cut}": AP @ cut for cut in (10, 100)},
    **{f"mrr@{cut}": RR @ cut for cut in (10, 100)},
    "map": AP,
}


@pytest.mark.parametrize("seed", range(6))
def test_ir_measures_agrees_to_four_decimals_on_graded_data_with_ties_and_unjudged_passages(seed) -> None:
    rng = np.random.default_rng(seed)
    ids = [f"p{name}" for name in range(150)]
    qrels = {
        f"q{query}": {name: int(rng.choice([0, 0, 1, 2, 3])) for name in rng.choice(ids, 12, replace=False)}
        for query in range(25)
    }
    # Eleven different scores for over a hundred passages: nearly all of them are tied.
    run = {query: {name: float(rng.integers(0, 11)) for name in rng.choice(ids, 120, replace=False)} for query in qrels}
    order = {
        query: sorted(scores.items(), key=lambda pair: (pair[1], pair[0]), reverse=True)
        for query, scores in run.items()
    }
    # The other tool orders ties for RR with a cut-off by ascending id, and for all else by descending id, as trec_eval
    # does. Here one order serves every metric, so RR with a cut-off is compared on scores that are ranks.
    ranks = {query: {name: -float(rank) for rank, (name, _) in enumerate(order[query])} for query in order}
    cut = {name: measure for name, measure in OTHERS.items() if name.startswith("mrr")}
    uncut = {name: measure for name, measure in OTHERS.items() if name not in cut}
    ours = per_query_metrics(order, qrels)
    compared = 0
    for measures, scores in ((uncut, run), (cut, ranks)):
        names = {str(measure): name for name, measure in measures.items()}
        for result in ir_measures.iter_calc(list(measures.values()), qrels, scores):
            name = names[str(result.measure)]
            assert ours[name][result.query_id] == pytest.approx(result.value, abs=5e-5), (name, result.query_id)
            compared += 1
    assert compared == len(ours) * len(qrels)
