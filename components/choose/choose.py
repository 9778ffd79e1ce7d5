"""`choose`: which base model to train, from measurements alone."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from components.errors import DataError
from components.gate.statistics import bootstrap_interval
from components.records.choice import Candidate, Choice
from components.records.measurement import Measured, Measurement

#: How many times as fast a model must be to be recommended in place of a better one: two measurements of one model on
#: a busy machine differ by less.
FASTER = 1.2
_CONFIDENCE = 0.95
_RESAMPLES = 10_000
_SEED = 42
_FEW = 50  # dev queries: below, a difference of .05 between two models is mostly chance


class _Entry(NamedTuple):
    name: str
    measured: Measured


def choose(measurements: Sequence[Measurement], margin: float) -> Choice:
    """Recommend a base model.

    That is the one with the highest NDCG@10 after the short training. A faster one takes its place when it is shown to
    be hardly worse: the interval of its difference over the dev queries lies above minus the margin. That is a test of
    non-inferiority, so that little data recommends the better model and never the faster one by lack of evidence.

    Args:
        measurements: one for each candidate.
        margin: NDCG@10 that a faster model may be behind.

    Raises:
        DataError: when no candidate could be measured, or they were measured on different data.
    """
    entries = [_Entry(item.base_model, item.measured) for item in measurements if item.measured is not None]
    failed = {item.base_model: item.failure for item in measurements if item.measured is None}
    _check(entries, failed)
    entries.sort(key=lambda entry: (-entry.measured.quality, -entry.measured.texts_per_second, entry.name))
    candidates = [_candidate(entry, entries) for entry in entries]
    chosen = _recommended(candidates, margin)
    first = entries[0].measured
    return Choice(
        base_model=chosen.base_model,
        reason=_reason(chosen, candidates, margin),
        candidates=candidates,
        failed=failed,
        margin=margin,
        confidence=_CONFIDENCE,
        queries=len(first.trained),
        dataset_digest=first.dataset_digest,
        bm25=first.bm25,
        warnings=list(_warnings(entries, chosen)),
        measurements=list(measurements),
    )


def _check(entries: Sequence[_Entry], failed: dict[str, str]) -> None:
    if not entries:
        reasons = " ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise DataError(f"No base model could be measured. {reasons or 'None was named.'}")
    first = entries[0]
    for entry in entries[1:]:
        if entry.measured.dataset_digest != first.measured.dataset_digest:
            raise DataError(
                f"{first.name} and {entry.name} were measured on different data: the digests are "
                f"{first.measured.dataset_digest[:12]}… and {entry.measured.dataset_digest[:12]}…; measure both on "
                "one dataset version."
            )


def _candidate(entry: _Entry, entries: Sequence[_Entry]) -> Candidate:
    best, ours = entries[0].measured, entry.measured
    differences = np.array([ours.trained[query] - best.trained[query] for query in sorted(best.trained)])
    is_best = ours is best
    return Candidate(
        base_model=entry.name,
        zero_shot=ours.untouched,
        trained=ours.quality,
        texts_per_second=ours.texts_per_second,
        latency_ms=ours.latency_ms,
        model_bytes=ours.model_bytes,
        dimension=ours.dimension,
        max_seq_length=ours.max_seq_length,
        behind=float(differences.mean()),
        interval=None if is_best else bootstrap_interval(differences, _CONFIDENCE, _RESAMPLES, _SEED),
        dominated_by=next((other.name for other in entries if _dominates(other.measured, ours)), ""),
    )


def _dominates(other: Measured, ours: Measured) -> bool:
    """Tell whether another candidate is at least as good, as fast and as small, and better in one of them."""
    pairs = [
        (other.quality, ours.quality),
        (other.texts_per_second, ours.texts_per_second),
        (-other.model_bytes, -ours.model_bytes),
    ]
    return all(theirs >= mine for theirs, mine in pairs) and any(theirs > mine for theirs, mine in pairs)


def _recommended(candidates: Sequence[Candidate], margin: float) -> Candidate:
    best = candidates[0]
    rivals = [
        candidate
        for candidate in candidates[1:]
        if candidate.texts_per_second >= FASTER * best.texts_per_second and _hardly_worse(candidate, margin)
    ]
    return max(rivals, key=lambda candidate: candidate.texts_per_second, default=best)


def _hardly_worse(candidate: Candidate, margin: float) -> bool:
    return candidate.interval is not None and candidate.interval[0] > -margin


def _reason(chosen: Candidate, candidates: Sequence[Candidate], margin: float) -> str:
    best = candidates[0]
    if chosen is not best:
        low, high = chosen.interval or (0.0, 0.0)
        times = chosen.texts_per_second / best.texts_per_second
        return (
            f"{chosen.base_model} encodes {times:.1f} times as fast as {best.base_model}, the best in NDCG@10, and is "
            f"at most {margin:g} behind it: {chosen.trained:.4f} against {best.trained:.4f}, {chosen.behind:+.4f} "
            f"({_CONFIDENCE:.0%} interval {low:+.4f} to {high:+.4f})."
        )
    sentence = f"{best.base_model} has the highest NDCG@10 after the short training, {best.trained:.4f}"
    if len(candidates) == 1:
        return f"{sentence}; nothing was left to compare it with."
    second = candidates[1]
    low, high = second.interval or (0.0, 0.0)
    compared = f"{second.base_model} has {second.trained:.4f}, {second.behind:+.4f} ({low:+.4f} to {high:+.4f})"
    if high >= 0:
        return f"{sentence}; {compared}: the dev queries do not tell these two apart."
    return f"{sentence}; {compared}."


def _warnings(entries: Sequence[_Entry], chosen: Candidate) -> list[str]:
    first = entries[0].measured
    found = []
    if len(first.trained) < _FEW:
        found.append(
            f"There are {len(first.trained)} dev queries, which tell only large differences apart; --dev-queries of "
            "`ranklift prepare` holds more of them out."
        )
    processors = sorted({entry.measured.processor for entry in entries})
    if len(processors) > 1:
        found.append(f"Speeds were measured on different processors and do not compare: {', '.join(processors)}.")
    if first.bm25 is not None and chosen.trained < first.bm25:
        found.append(
            f"{chosen.base_model} is below BM25 on these queries: {chosen.trained:.4f} against {first.bm25:.4f}."
        )
    return [*found, *sorted({note for entry in entries for note in entry.measured.notes})]
