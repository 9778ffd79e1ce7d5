"""The gate's conditions, each with what was measured, what is allowed, and whether that passed."""

from collections.abc import Callable
from statistics import fmean

import numpy as np

from components.gate.folds import fold_sums
from components.gate.options import GateOptions
from components.gate.statistics import Randomisation, holm, randomisation_p_values
from components.records.decision import Guard
from components.records.scores import HEADLINE, ScoreFile

RECALL = "recall@100"
_SLICES_AT_ONCE = 64


def gain_guards(delta: float, test: Randomisation, options: GateOptions) -> list[Guard]:
    """Return the two conditions on the headline: large enough, and not chance."""
    gain, significant = delta >= options.min_gain, test.p_value < options.alpha
    return [
        Guard(
            name="gain",
            value=delta,
            limit=options.min_gain,
            passed=gain,
            reason=f"the gain of {delta:+.4f} is {'at least' if gain else 'below'} the minimum of {options.min_gain:g}",
        ),
        Guard(
            name="significance",
            value=test.p_value,
            limit=options.alpha,
            passed=significant,
            reason=f"p = {test.p_value:.4f} is {'below' if significant else 'not below'} alpha = {options.alpha:g}",
        ),
    ]


def limit_guards(candidate: ScoreFile, champion: ScoreFile, options: GateOptions) -> list[Guard]:
    """Return the limits that stand beside the headline; a limit of None is recorded as switched off."""
    return [
        _at_least("absolute score", candidate.headline, options.min_score, f"NDCG@10 of {candidate.headline:.4f}"),
        _recall(candidate, champion, options.max_recall_drop),
        _at_most("encoder latency", candidate.latency_ms, options.max_latency_ms, lambda ms: f"{ms:.1f} ms a query"),
        _at_most("model size", candidate.model_bytes, options.max_model_bytes, lambda size: f"{size / 1e6:,.1f} MB"),
    ]


def slice_guards(candidate: ScoreFile, champion: ScoreFile, options: GateOptions) -> list[Guard]:
    """One guard for each slice with enough queries; the p-values are adjusted by Holm over all of them."""
    if options.max_slice_drop is None:
        return [_off("slices")]
    slices = {
        f"slice {slicing}: {name}": queries
        for slicing, groups in candidate.slices.items()
        for name, queries in groups.items()
        if len(queries) >= max(1, options.min_slice_queries)
    }
    falls = _falls(candidate, champion, slices, options)
    return [
        _slice_guard(name, falls[name], len(slices[name]), options.max_slice_drop, options.alpha) for name in slices
    ]


def _falls(
    candidate: ScoreFile, champion: ScoreFile, slices: dict[str, list[str]], options: GateOptions
) -> dict[str, tuple[float, float]]:
    """(mean difference, Holm-adjusted p-value of a fall) by slice."""
    ours, theirs = candidate.per_query[HEADLINE], champion.per_query[HEADLINE]
    place = {query: row for row, query in enumerate(sorted(ours))}
    deltas: dict[str, float] = {}
    p_values: list[float] = []
    names = list(slices)
    for start in range(0, len(names), _SLICES_AT_ONCE):
        piece = names[start : start + _SLICES_AT_ONCE]
        columns = np.zeros((len(ours), len(piece)))
        for column, name in enumerate(piece):
            rows = [place[query] for query in slices[name]]
            columns[rows, column] = [theirs[query] - ours[query] for query in slices[name]]
            deltas[name] = -float(columns[:, column].sum()) / len(rows)
        if candidate.folds:
            columns = fold_sums(columns, np.array([candidate.folds[query] for query in sorted(ours)], dtype=np.float64))
        p_values += randomisation_p_values(columns, options.resamples, options.seed).tolist()
    return {name: (deltas[name], p) for name, p in zip(names, holm(p_values), strict=True)}


def _slice_guard(name: str, fall: tuple[float, float], queries: int, max_drop: float, alpha: float) -> Guard:
    delta, p_value = fall
    fails = delta < -max_drop and p_value < alpha
    return Guard(
        name=name,
        value=delta,
        limit=-max_drop,
        passed=not fails,
        reason=f"NDCG@10 moves by {delta:+.4f} on its {queries:,} queries "
        f"(adjusted p of a fall {p_value:.4f}, limit {-max_drop:+g} when below {alpha:g})",
    )


def _recall(candidate: ScoreFile, champion: ScoreFile, max_drop: float | None) -> Guard:
    if max_drop is None:
        return _off(RECALL)
    ours, theirs = (fmean(scores.per_query[RECALL].values()) for scores in (candidate, champion))
    delta = ours - theirs
    return Guard(
        name=RECALL,
        value=delta,
        limit=-max_drop,
        passed=delta >= -max_drop,
        reason=f"Recall@100 goes from {theirs:.4f} to {ours:.4f}, where {-max_drop:+g} is allowed",
    )


def _at_least(name: str, value: float, limit: float | None, what: str) -> Guard:
    if limit is None:
        return _off(name)
    passed = value >= limit
    relation = "at least" if passed else "below"
    return Guard(name=name, value=value, limit=limit, passed=passed, reason=f"{what} is {relation} the floor {limit:g}")


def _at_most(name: str, value: float | None, limit: float | None, show: Callable[[float], str]) -> Guard:
    if limit is None:
        return _off(name)
    if value is None:
        reason = "the score file does not say; write it again with `ranklift evaluate`, or switch this guard off"
        return Guard(name=name, value=None, limit=limit, passed=False, reason=reason)
    passed = value <= limit
    relation = "within" if passed else "over"
    reason = f"{show(value)} is {relation} the limit of {show(limit)}"
    return Guard(name=name, value=value, limit=limit, passed=passed, reason=reason)


def _off(name: str) -> Guard:
    return Guard(name=name, value=None, limit=None, passed=True, reason="switched off")
