"""The gate's statistics agree with scipy and with theory, and the gate is an honest instrument."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from components.gate.decide import decide
from components.gate.options import GateOptions
from components.gate.statistics import (
    bootstrap_interval,
    holm,
    minimum_detectable_effect,
    randomisation_p_values,
    randomisation_test,
)

# Eighths: their sums are exact, so that ties are ties to scipy too, whose tolerance is relative to the mean itself.
GRADES = [0.0, 0.5, -0.5, 0.125, -0.125, 0.375, -0.375]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(GRADES), min_size=2, max_size=10))
def test_few_queries_are_tested_exactly_as_scipy_does(values) -> None:
    differences = np.array(values)
    ours = randomisation_test(differences, 10_000, seed=0)
    theirs = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", alternative="greater", n_resamples=10_000
    )
    assert ours.exact
    assert ours.p_value == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize("seed", range(5))
def test_many_queries_agree_with_scipy_within_sampling_error(seed) -> None:
    differences = np.random.default_rng(seed).choice(GRADES, 400) + 0.01
    ours = randomisation_test(differences, 10_000, seed)
    theirs = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", alternative="greater", n_resamples=10_000, rng=seed
    )
    assert not ours.exact
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=0.02)


def test_sampled_and_exact_p_values_agree() -> None:
    differences = np.random.default_rng(1).choice(GRADES, 12)
    exact = randomisation_test(differences, 1 << 12, seed=0)
    sampled = randomisation_p_values(differences[:, None], 100_000, seed=0)[0]
    assert exact.exact
    assert sampled == pytest.approx(exact.p_value, abs=0.01)


def test_queries_outside_a_set_do_not_change_its_p_value() -> None:
    differences = np.random.default_rng(2).normal(0.02, 0.1, 50)
    columns = np.zeros((200, 2))
    columns[:50, 0] = differences
    columns[150:, 1] = differences
    p_values = randomisation_p_values(columns, 20_000, seed=0)
    alone = randomisation_p_values(differences[:, None], 20_000, seed=1)[0]
    assert p_values == pytest.approx([alone, alone], abs=0.02)


def test_the_bootstrap_interval_is_that_of_the_normal_theory_on_many_queries() -> None:
    differences = np.random.default_rng(3).normal(0.02, 0.2, 2000)
    error = differences.std(ddof=1) / len(differences) ** 0.5
    low, high = bootstrap_interval(differences, 0.95, 10_000, seed=0)
    assert (low, high) == pytest.approx(
        (differences.mean() - 1.96 * error, differences.mean() + 1.96 * error), abs=5e-4
    )


def test_holm_on_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.mark.parametrize("differences", [[0.2], [0.0, 0.0, 0.0]], ids=["one query", "no difference"])
def test_the_detectable_effect_is_unknown_where_nothing_shows_the_spread(differences) -> None:
    assert minimum_detectable_effect(np.array(differences), 0.005, 0.05, 0.8) is None


# Simulated evaluations. Two models share how hard each query is, and each adds an error of its own; NDCG@10 with one
# relevant passage is 1 / log2(1 + rank), and 0 beyond rank 10.
_ALPHA = 0.05
_GAIN = np.array([1 / np.log2(1 + rank) if 1 <= rank <= 10 else 0.0 for rank in range(1001)])


def _ranks(rng: np.random.Generator, hardness: np.ndarray) -> np.ndarray:
    place = np.exp(1.2 * np.maximum(hardness + rng.normal(0, 0.6, len(hardness)), 0))
    return np.clip(place.astype(int), 1, 1000)


def _promotions(scores, runs: int, queries: int, options: dict) -> int:
    count = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        hardness = rng.normal(1.0, 1.6, queries)
        ours, theirs = _ranks(rng, hardness), _ranks(rng, hardness)
        new = scores("new", _GAIN[ours], recall=ours <= 100)
        old = scores("old", _GAIN[theirs], recall=theirs <= 100)
        count += decide(new, old, GateOptions(seed=seed, **options)).verdict == "promote"
    return count


def _most_allowed(runs: int) -> int:
    """The upper 99% bound of how often a test that errs at a rate of alpha errs in that many runs."""
    return int(stats.binom.ppf(0.99, runs, _ALPHA))


ONLY_THE_TEST = {"min_gain": 0.0, "max_recall_drop": None, "resamples": 499}
AS_SHIPPED = {"resamples": 499}


@pytest.mark.parametrize("options", [ONLY_THE_TEST, AS_SHIPPED], ids=["the test alone", "as shipped"])
def test_a_model_against_its_equal_is_promoted_no_more_often_than_alpha(scores, options) -> None:
    assert _promotions(scores, 2000, 60, options) <= _most_allowed(2000)


@pytest.mark.slow
@pytest.mark.extended
@pytest.mark.parametrize("queries", [20, 60, 300])
def test_the_rate_of_false_promotions_in_many_runs(scores, queries) -> None:
    assert _promotions(scores, 10_000, queries, ONLY_THE_TEST) <= _most_allowed(10_000)


def _power(scores, effect: float, *, runs: int, queries: int, spread: float, options: dict) -> float:
    count = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        before = np.full(queries, 0.5)
        after = before + np.clip(rng.normal(effect, spread, queries), -0.5, 0.5)
        count += (
            decide(scores("new", after), scores("old", before), GateOptions(seed=seed, **options)).verdict == "promote"
        )
    return count / runs


def _theory(effect: float, queries: int, spread: float, min_gain: float) -> float:
    error = spread / queries**0.5
    needed = max(NormalDist().inv_cdf(1 - _ALPHA) * error, min_gain)
    return 1 - NormalDist(effect, error).cdf(needed)


def _band(power: float, runs: int) -> float:
    """Half of the 99.9% interval of a rate seen in that many runs, and a little for the normal approximation."""
    return 3.3 * (power * (1 - power) / runs) ** 0.5 + 0.01


@pytest.mark.parametrize("effect", [0.01, 0.02, 0.03])
def test_the_power_at_a_known_effect_is_that_of_theory(scores, effect) -> None:
    expected = _theory(effect, 100, 0.1, 0.005)
    assert abs(
        _power(scores, effect, runs=400, queries=100, spread=0.1, options={"resamples": 999}) - expected
    ) < _band(expected, 400)


def test_the_minimum_detectable_effect_is_detected_with_the_power_that_it_states(scores) -> None:
    normal = np.array([NormalDist(0, 0.1).inv_cdf((place + 0.5) / 100) for place in range(100)])
    effect = minimum_detectable_effect(normal, 0.005, _ALPHA, 0.8)
    assert abs(_power(scores, effect, runs=400, queries=100, spread=0.1, options={"resamples": 999}) - 0.8) < _band(
        0.8, 400
    )


@pytest.mark.slow
@pytest.mark.extended
@pytest.mark.parametrize("min_gain", [0.0, 0.02])
@pytest.mark.parametrize("queries", [50, 400])
def test_the_power_in_many_runs(scores, queries, min_gain) -> None:
    expected = _theory(0.02, queries, 0.15, min_gain)
    options = {"resamples": 1999, "min_gain": min_gain}
    assert abs(_power(scores, 0.02, runs=3000, queries=queries, spread=0.15, options=options) - expected) < _band(
        expected, 3000
    )
