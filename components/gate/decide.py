"""The gate: the only judge, which reads nothing but two score files."""

from collections.abc import Sequence
from math import isfinite
from statistics import fmean

import numpy as np

from components.errors import DataError
from components.gate.folds import error_over_folds, fold_sums, interval_over_folds
from components.gate.guards import RECALL, gain_guards, limit_guards, slice_guards
from components.gate.options import GateOptions
from components.gate.statistics import (
    Randomisation,
    Values,
    bootstrap_interval,
    minimum_detectable_effect,
    randomisation_test,
)
from components.records.decision import Decision, Guard
from components.records.scores import HEADLINE, ScoreFile

#: A stored mean and the mean of the stored values may differ by the rounding of their sum, and by nothing more.
_ROUNDING = 1e-6


def decide(candidate: ScoreFile, champion: ScoreFile, options: GateOptions | None = None) -> Decision:
    """Promote the candidate, or hold.

    It is promoted when its mean NDCG@10 exceeds the champion's by at least `min_gain`, the one-sided paired
    randomisation test gives p < `alpha`, and every guard passes. A candidate with the champion's own digest is held.
    Where its scores are those of a cross-validation, the test flips whole folds.

    Raises:
        DataError: when the two were not measured on the same evaluation set and queries, or hold impossible numbers.
    """
    options = options or GateOptions()
    _check_comparable(candidate, champion, options)
    differences = _differences(candidate, champion)
    delta = float(differences.mean())
    test, interval, effect = _statistics(differences, _folds(candidate), options)
    guards = [
        *gain_guards(delta, test, options),
        *limit_guards(candidate, champion, options),
        *slice_guards(candidate, champion, options),
    ]
    same = candidate.model_digest == champion.model_digest
    failed = [guard for guard in guards if not guard.passed]
    decision = Decision(
        verdict="hold" if same or failed else "promote",
        reason="",
        metric=HEADLINE,
        candidate=candidate.headline,
        champion=champion.headline,
        delta=delta,
        confidence_interval=interval,
        confidence=options.confidence,
        p_value=test.p_value,
        queries=len(differences),
        folds=len(set(candidate.folds.values())),
        out_of_fold=candidate.per_query if candidate.folds else {},
        min_gain=options.min_gain,
        alpha=options.alpha,
        guards=guards,
        candidate_model=candidate.model,
        champion_model=champion.model,
        candidate_digest=candidate.model_digest,
        champion_digest=champion.model_digest,
        dataset_digest=candidate.dataset_digest,
        minimum_detectable_effect=effect,
        settings={**options.model_dump(), "exact_p_value": test.exact},
    )
    decision.reason = _same_model(candidate) if same else _reason(decision, failed)
    return decision


def _statistics(
    differences: Values, folds: Values | None, options: GateOptions
) -> tuple[Randomisation, tuple[float, float], float | None]:
    """Return the gain's test, its interval and the smallest gain that could be seen, over folds where there are any."""
    gate = (options.min_gain, options.alpha, options.power)
    if folds is None:
        return (
            randomisation_test(differences, options.resamples, options.seed),
            bootstrap_interval(differences, options.confidence, options.resamples, options.seed),
            minimum_detectable_effect(differences, *gate),
        )
    return (
        randomisation_test(fold_sums(differences, folds), options.resamples, options.seed),
        interval_over_folds(differences, folds, options.confidence),
        minimum_detectable_effect(differences, *gate, error=error_over_folds(differences, folds)),
    )


def _folds(candidate: ScoreFile) -> Values | None:
    """Return each query's fold, in the order of the ids; None where the candidate was judged on held-out queries."""
    if not candidate.folds:
        return None
    return np.array([candidate.folds[query] for query in sorted(candidate.per_query[HEADLINE])], dtype=np.float64)


def _same_model(candidate: ScoreFile) -> str:
    return (
        f"Held: {candidate.model} is the champion itself, with the same digest {candidate.model_digest[:12]}, so there "
        "is nothing to promote."
    )


def _reason(decision: Decision, failed: Sequence[Guard]) -> str:
    low, high = decision.confidence_interval
    numbers = (
        f"NDCG@10 {decision.candidate:.4f} against {decision.champion:.4f} of {decision.champion_model}, "
        f"{decision.delta:+.4f} ({decision.confidence:.0%} interval {low:+.4f} to {high:+.4f}, "
        f"p = {decision.p_value:.4f}, {_queries(decision.queries)}{_in_folds(decision)})"
    )
    if not failed:
        sensitivity = _sensitivity(decision, failed)
        return f"Promoted: {decision.candidate_model} has {numbers}, and every guard passes; {sensitivity}."
    faults = "; ".join(_fault(guard) for guard in failed)
    return f"Held: {decision.candidate_model} has {numbers}, but {faults}; {_sensitivity(decision, failed)}."


def _fault(guard: Guard) -> str:
    return guard.reason if guard.name in ("gain", "significance") else f"{guard.name}: {guard.reason}"


def _sensitivity(decision: Decision, failed: Sequence[Guard]) -> str:
    """Return what the evaluation set could have shown at all."""
    effect = decision.minimum_detectable_effect
    power = decision.settings["power"]
    if effect is None:
        which = "no query tells the two apart" if decision.delta == 0 else "one query shows no spread"
        return f"{which}, so the smallest detectable gain is unknown"
    seen = f"{_queries(decision.queries)} show a true gain of {effect:.4f} or more with {power:.0%} power"
    if "significance" in {guard.name for guard in failed} and decision.min_gain <= decision.delta < effect:
        return f"{seen}, so a gain of this size cannot be told from chance: evaluate on more queries"
    return seen


def _in_folds(decision: Decision) -> str:
    return f" in {decision.folds} folds of a cross-validation" if decision.folds else ""


def _queries(count: int) -> str:
    return "1 query" if count == 1 else f"{count:,} queries"


def _differences(candidate: ScoreFile, champion: ScoreFile) -> Values:
    """Candidate minus champion by query, in the order of the ids: the order must not depend on the files."""
    ours, theirs = candidate.per_query[HEADLINE], champion.per_query[HEADLINE]
    return np.array([ours[query] - theirs[query] for query in sorted(ours)], dtype=np.float64)


def _check_comparable(candidate: ScoreFile, champion: ScoreFile, options: GateOptions) -> None:
    if candidate.dataset_digest != champion.dataset_digest:
        raise DataError(
            f"The two score files are not comparable: {candidate.model} was scored on evaluation set "
            f"{candidate.dataset_digest[:12]}… and {champion.model} on {champion.dataset_digest[:12]}…; score both on "
            "the same data with `ranklift evaluate MODEL --data DATASET`."
        )
    ours, theirs = set(candidate.per_query[HEADLINE]), set(champion.per_query[HEADLINE])
    if ours != theirs:
        example = min(ours ^ theirs)
        owner = candidate if example in ours else champion
        raise DataError(
            f"The two score files are not comparable: {len(ours ^ theirs):,} queries were scored for one model only, "
            f"for example {example!r} for {owner.model}; score both on the same data with `ranklift evaluate`."
        )
    for scores in (candidate, champion):
        _check_numbers(scores)
        if options.max_recall_drop is not None and RECALL not in scores.per_query:
            raise DataError(
                f"The score file of {scores.model} has no {RECALL} by query, which the recall guard needs; make it "
                "again with `ranklift evaluate`, or switch the guard off."
            )
    _check_slices(candidate)
    _check_folds(candidate)


def _check_numbers(scores: ScoreFile) -> None:
    if not scores.per_query[HEADLINE]:
        raise DataError(f"The score file of {scores.model} has no query; evaluate on at least one judged query.")
    for metric, values in scores.per_query.items():
        for query, value in values.items():
            if not (isfinite(value) and 0 <= value <= 1):
                raise DataError(
                    f"The score file of {scores.model} has {value!r} as {metric} of query {query!r}, which is not "
                    "between 0 and 1; make it again with `ranklift evaluate`."
                )
    mean = fmean(scores.per_query[HEADLINE].values())
    if not abs(mean - scores.headline) <= _ROUNDING:
        raise DataError(
            f"The score file of {scores.model} contradicts itself: {HEADLINE} is {scores.headline:.6f}, and the mean "
            f"over its queries is {mean:.6f}; make it again with `ranklift evaluate`."
        )


def _check_slices(scores: ScoreFile) -> None:
    known = scores.per_query[HEADLINE].keys()
    for slicing, groups in scores.slices.items():
        for name, queries in groups.items():
            unknown = next((query for query in queries if query not in known), None)
            if unknown is not None:
                raise DataError(
                    f"The score file of {scores.model} has query {unknown!r} in the slice {slicing}: {name} and no "
                    "score for it; make it again with `ranklift evaluate`."
                )


def _check_folds(scores: ScoreFile) -> None:
    if scores.folds and scores.folds.keys() != scores.per_query[HEADLINE].keys():
        lost = min(scores.folds.keys() ^ scores.per_query[HEADLINE].keys())
        raise DataError(
            f"The score file of {scores.model} has folds for other queries than it has scores for, for example "
            f"{lost!r}; make it again with `ranklift evaluate`."
        )
    if any(fold < 0 for fold in scores.folds.values()):
        raise DataError(f"The score file of {scores.model} has a fold below 0; make it again with `ranklift evaluate`.")
