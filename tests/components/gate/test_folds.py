"""The gate on scores of a cross-validation: it counts folds, and promotes equals no more often than alpha."""

import math

import numpy as np
import pytest
from scipy import stats

from components.errors import DataError
from components.gate.decide import decide
from components.gate.folds import error_over_folds, fold_sums, interval_over_folds
from components.gate.options import GateOptions
from components.gate.report import write_report
from components.records.decision import Decision

FOLDS = 10


def folds_of(queries: int) -> dict[str, int]:
    """Query ids as the fixture `scores` names them, dealt out in turn."""
    return {f"q{place}": place % FOLDS for place in range(queries)}


def judged(scores, new, old, **options) -> Decision:
    """The decision on a candidate that was cross-validated."""
    candidate = scores("new", new, folds=folds_of(len(new)))
    return decide(candidate, scores("old", old), GateOptions(max_recall_drop=None, **options))


def test_fold_sums_adds_the_queries_of_a_fold():
    values = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    assert fold_sums(values, np.array([1.0, 0.0, 1.0])).tolist() == [[2.0, 20.0], [5.0, 50.0]]


def test_error_over_folds_of_one_query_each_is_that_of_the_mean():
    differences = np.random.default_rng(0).normal(0.1, 0.2, 40)
    assert error_over_folds(differences, np.arange(40.0)) == pytest.approx(stats.sem(differences))


def test_interval_over_folds_of_equal_size_is_students_over_their_means():
    differences = np.random.default_rng(1).normal(0.02, 0.1, 60)
    folds = np.arange(60.0) % FOLDS
    means = fold_sums(differences, folds) / 6
    expected = stats.t.interval(0.95, FOLDS - 1, loc=means.mean(), scale=stats.sem(means))
    assert interval_over_folds(differences, folds, 0.95) == pytest.approx(expected)


def test_interval_over_folds_of_a_single_fold_says_nothing():
    assert interval_over_folds(np.array([0.1, 0.2]), np.zeros(2), 0.95) == (-1.0, 1.0)


def test_decide_counts_folds_where_the_queries_of_one_stand_and_fall_together(scores):
    old = np.full(60, 0.5)
    gains = np.repeat([0.1, -0.08, 0.09, -0.07, 0.1, -0.02, 0.1, 0.04, -0.05, 0.06], 6).reshape(FOLDS, 6).T.ravel()
    candidate, champion = scores("new", old + gains), scores("old", old)
    by_query = decide(candidate, champion)
    by_fold = judged(scores, old + gains, old)
    assert by_query.verdict == "promote"
    assert by_fold.verdict == "hold"
    assert by_fold.p_value > 0.1 > by_query.p_value
    assert by_fold.confidence_interval[0] < 0 < by_query.confidence_interval[0]


def test_decide_says_that_the_candidate_was_cross_validated_and_so_does_the_page(scores, tmp_path):
    old = np.linspace(0.2, 0.6, 40)
    decision = judged(scores, old + 0.05, old)
    assert decision.verdict == "promote"
    assert decision.folds == FOLDS
    assert "40 queries in 10 folds of a cross-validation" in decision.reason
    candidate = scores("new", old + 0.05, folds=folds_of(40))
    write_report(decision, candidate, scores("old", old), tmp_path / "evaluation.html")
    page = (tmp_path / "evaluation.html").read_text()
    assert "by cross-validation in 10 folds" in page
    assert "over folds" in page


def test_decide_on_held_out_queries_says_so(scores):
    decision = decide(scores("new", np.full(40, 0.6)), scores("old", np.full(40, 0.5)))
    assert decision.folds == 0
    assert "held out" in decision.method
    assert "fold" not in decision.reason


@pytest.mark.parametrize(
    ("folds", "message"),
    [({"q0": 0}, "folds for other queries"), ({"q0": 0, "q1": -1}, "fold below 0")],
    ids=["a query without a fold", "a negative fold"],
)
def test_decide_with_folds_that_do_not_fit_is_refused(scores, folds, message):
    with pytest.raises(DataError, match=message):
        decide(scores("new", [0.5, 0.6], folds=folds), scores("old", [0.5, 0.5]))


# A/A: candidate and champion are equals. The model of a fold has luck of its own (`luck`, in NDCG@10), which all of its
# queries share; a query adds noise. Many differences are 0, as when both models rank a query alike.


def _false_promotions(scores, runs: int, queries: int, luck: float, *, by_fold: bool) -> int:
    count = 0
    for seed in range(runs):
        rng = np.random.default_rng((seed, queries))
        noise = rng.normal(0, 0.12, queries) * (rng.random(queries) < 0.7)
        shared = rng.normal(0, luck, FOLDS)[np.arange(queries) % FOLDS]
        old = rng.uniform(0.3, 0.7, queries)
        new = np.clip(old + noise + shared, 0, 1)
        folds = {"folds": folds_of(queries)} if by_fold else {}
        options = GateOptions(min_gain=0.0, max_recall_drop=None, resamples=499, seed=seed)
        count += decide(scores("new", new, **folds), scores("old", old), options).verdict == "promote"
    return count


def _most_allowed(runs: int) -> int:
    return int(stats.binom.ppf(0.99, runs, 0.05))


def test_decide_equals_in_cross_validation_are_promoted_no_more_often_than_alpha(scores):
    assert _false_promotions(scores, 600, 60, 0.04, by_fold=True) <= _most_allowed(600)


def test_decide_by_query_would_promote_equals_too_often_where_folds_have_luck(scores):
    assert _false_promotions(scores, 600, 120, 0.04, by_fold=False) > _most_allowed(600)


@pytest.mark.slow
@pytest.mark.extended
@pytest.mark.parametrize("luck", [0.0, 0.02, 0.05])
@pytest.mark.parametrize("queries", [30, 60, 120])
def test_decide_equals_in_many_cross_validations(scores, queries, luck):
    assert _false_promotions(scores, 5000, queries, luck, by_fold=True) <= _most_allowed(5000)


# A/A with real trainings: a linear map of the queries is fitted to labels that mean nothing, so that what it learned
# cannot help on the fold that it has not seen; the models of the folds share nine tenths of their labels.
_PASSAGES, _DIMENSIONS, _RELEVANT = 150, 12, 15


def _trained_on_nothing(rng: np.random.Generator, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """NDCG@10 of every query out of fold, and of the untrained queries."""
    passages = rng.normal(size=(_PASSAGES, _DIMENSIONS))
    asked = rng.normal(size=(queries, _DIMENSIONS))
    relevant = np.array([rng.choice(_PASSAGES, _RELEVANT, replace=False) for _ in range(queries)])
    wanted = passages[relevant].mean(axis=1)
    fold = np.arange(queries) % FOLDS
    mapped = np.empty_like(asked)
    for held_out in range(FOLDS):
        seen = fold != held_out
        gram = asked[seen].T @ asked[seen] + 5 * np.eye(_DIMENSIONS)
        change = np.linalg.solve(gram, asked[seen].T @ (4 * wanted[seen]))
        mapped[~seen] = asked[~seen] @ (np.eye(_DIMENSIONS) + change)
    return _ndcg(mapped @ passages.T, relevant), _ndcg(asked @ passages.T, relevant)


def _ndcg(similarity: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    top = np.argsort(-similarity, axis=1)[:, :10]
    hits = (top[:, :, None] == relevant[:, None, :]).any(axis=2)
    gains = 1 / np.log2(np.arange(2, 12))
    return np.asarray((hits * gains).sum(axis=1) / gains.sum())


@pytest.mark.slow
@pytest.mark.extended
@pytest.mark.parametrize("queries", [30, 60, 120])
def test_decide_models_trained_on_meaningless_labels_are_promoted_no_more_often_than_alpha(scores, queries):
    runs, count = 3000, 0
    for seed in range(runs):
        new, old = _trained_on_nothing(np.random.default_rng((seed, queries)), queries)
        assert not math.isclose(float(np.abs(new - old).sum()), 0)
        options = {"min_gain": 0.0, "min_score": None, "resamples": 499, "seed": seed}
        count += judged(scores, new, old, **options).verdict == "promote"
    assert count <= _most_allowed(runs)
