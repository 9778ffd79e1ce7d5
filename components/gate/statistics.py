"""The statistics of a paired comparison: the same queries, two models."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

#: Numbers in one piece of resampling work: 16 MiB of float64.
_AT_ONCE = 1 << 21
#: Sums of differences are compared with this relative tolerance, so that rounding does not break ties.
_TIE = 1e-10


class Randomisation(NamedTuple):
    """Result of a paired randomisation test."""

    p_value: float
    exact: bool  #: every assignment of signs was counted, instead of a random sample of them


def randomisation_test(differences: Values, resamples: int, seed: int) -> Randomisation:
    """One-sided paired randomisation test of a mean above zero (Fisher 1935; for IR, Smucker et al. 2007).

    Were the two models equal, each query's difference would be as likely with the opposite sign. The p-value is the
    share of sign assignments whose mean is at least the observed one: counted over all of them when no more than
    `resamples` are distinct, else over a random sample, where the observed one counts as drawn once (Phipson and Smyth
    2010), so that the test never rejects more often than it says.

    Args:
        differences: candidate minus champion by query, shape (queries,).
        resamples: sign assignments to draw.
        seed: of the draw.
    """
    moved = differences[differences != 0]
    if len(moved) < resamples.bit_length():  # 2 to the power of len(moved) is at most `resamples`
        return Randomisation(_enumerated_p(moved), exact=True)
    return Randomisation(float(randomisation_p_values(differences[:, None], resamples, seed)[0]), exact=False)


def randomisation_p_values(columns: Values, resamples: int, seed: int) -> Values:
    """Return the p-values of `randomisation_test` by sampling, for several sets of differences at once.

    Args:
        columns: differences, shape (queries, sets); a query that is not in a set is 0 there.
        resamples: sign assignments to draw; the same ones serve every set.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    tolerance = _TIE * np.abs(columns).sum(axis=0)
    as_extreme = np.zeros(columns.shape[1], dtype=np.int64)
    step = max(1, _AT_ONCE // max(1, len(columns)))
    for start in range(0, resamples, step):
        flips = _random_bits(rng, min(step, resamples - start), len(columns))
        # Flipping a subset changes the sum by minus twice the subset's own: the new sum reaches the observed one just
        # when the subset's sum is not above zero.
        as_extreme += (flips @ columns <= tolerance).sum(axis=0)
    p_values: Values = (as_extreme + 1) / (resamples + 1)
    return p_values


def _random_bits(rng: np.random.Generator, rows: int, columns: int) -> Values:
    width = (columns + 7) // 8
    packed = np.frombuffer(rng.bytes(rows * width), dtype=np.uint8).reshape(rows, width)
    return np.unpackbits(packed, axis=1, count=columns).astype(np.float64)


def _enumerated_p(differences: Values) -> float:
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums, sums + difference])
    return float(np.mean(sums <= _TIE * np.abs(differences).sum()))


def bootstrap_interval(differences: Values, confidence: float, resamples: int, seed: int) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over queries (Efron 1979).

    One query alone says nothing about spread: its interval is everything a difference can be, -1 to 1.
    """
    from scipy import stats

    if len(differences) < 2:
        return (-1.0, 1.0)
    result = stats.bootstrap(
        (differences,),
        np.mean,
        confidence_level=confidence,
        n_resamples=resamples,
        batch=max(1, _AT_ONCE // len(differences)),
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def minimum_detectable_effect(
    differences: Values, min_gain: float, alpha: float, power: float, *, error: float | None = None
) -> float | None:
    """Return the smallest true gain that passes both of the gate's conditions with probability `power`.

    With standard error s of the mean, the test needs a gain of (z(alpha) + z(power)) s, and to show at least `min_gain`
    takes min_gain + z(power) s: the larger of the two. The spread is that of the observed differences, so this is None
    with one query, or when no query differs.

    Args:
        differences: candidate minus champion by query.
        min_gain: the gate's.
        alpha: the gate's.
        power: wanted.
        error: standard error of the mean, where queries are not independent of each other.
    """
    if len(differences) < 2 or not differences.any():
        return None
    if error is None:
        error = float(differences.std(ddof=1)) / math.sqrt(len(differences))
    z_alpha, z_power = NormalDist().inv_cdf(1 - alpha), NormalDist().inv_cdf(power)
    return max((z_alpha + z_power) * error, min_gain + z_power * error)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number by Holm's step-down procedure (1979), in the order given."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    for step, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - step) * p_values[place]))
        adjusted[place] = largest
    return adjusted
