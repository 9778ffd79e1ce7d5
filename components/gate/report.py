"""``evaluation.html``: both models side by side, for the people who live with the decision."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from components.dataset.evaluation_set import EvaluationSet, open_evaluation_set
from components.dataset.manifest import DEFAULT_SPLIT
from components.errors import DataError
from components.gate.cases import cases
from components.gate.charts import Gain, intervals, sorted_differences
from components.gate.statistics import bootstrap_interval
from components.html_page import render
from components.records.decision import Decision, Guard
from components.records.scores import HEADLINE, ScoreFile

_TEMPLATE = Path(__file__).with_name("report.html")
_RESAMPLES = 1000  # of a slice's interval, which is for reading; the gate's own tests use the options'
_SLICES_DRAWN = 40

Row = Sequence[object]


def write_report(
    decision: Decision,
    candidate: ScoreFile,
    champion: ScoreFile,
    path: Path,
    data: Path | None = None,
    *,
    split: str = DEFAULT_SPLIT,
) -> None:
    """Write the page: one file, no network, no script.

    Args:
        decision: what the gate made of the two score files.
        candidate: the challenger's scores.
        champion: the champion's scores.
        path: the file to write.
        data: the dataset version or BEIR folder that both were scored on; with it wins and losses show their texts.
        split: which qrels of a BEIR folder.

    Raises:
        DataError: when the data is not the evaluation set that was scored.
    """
    evaluation_set = None if data is None else _opened(data, split, decision)
    differences, counts = _per_query(candidate, champion)
    page = render(
        _TEMPLATE,
        title=f"{candidate.model} against {champion.model}",
        decision=decision,
        warnings=_warnings(candidate, champion),
        headline=_headline(decision),
        guards=_guards(decision.guards),
        counts=counts,
        differences=differences,
        metrics=_metrics(candidate, champion),
        slices=_slices(candidate, champion, decision),
        cases=cases(candidate, champion, evaluation_set),
        timings=_timings(candidate, champion),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


class _Slices(NamedTuple):
    picture: Markup
    header: Row
    rows: list[Row]


def _opened(data: Path, split: str, decision: Decision) -> EvaluationSet:
    evaluation_set = open_evaluation_set(data, split)
    if evaluation_set.digest != decision.dataset_digest:
        raise DataError(
            f"{data} is not the data that the models were scored on: its evaluation set has the digest "
            f"{evaluation_set.digest[:12]}… and the decision {decision.dataset_digest[:12]}…; give the dataset that "
            "`ranklift evaluate` was given."
        )
    return evaluation_set


def _warnings(candidate: ScoreFile, champion: ScoreFile) -> list[str]:
    lines = []
    for scores in (candidate, champion):
        bm25 = scores.baselines.get("bm25", {}).get(HEADLINE)
        if bm25 is not None and scores.headline < bm25:
            lines.append(f"{scores.model} is below BM25: NDCG@10 {scores.headline:.4f} against {bm25:.4f}.")
    return lines + sorted({note for scores in (candidate, champion) for note in scores.notes})


def _headline(decision: Decision) -> list[Row]:
    low, high = decision.confidence_interval
    effect = decision.minimum_detectable_effect
    return [
        ("candidate", decision.candidate_model, f"{decision.candidate:.4f}"),
        ("champion", decision.champion_model, f"{decision.champion:.4f}"),
        ("gain", f"{decision.confidence:.0%} interval {low:+.4f} to {high:+.4f}", f"{decision.delta:+.4f}"),
        (
            "p-value",
            f"one-sided paired randomisation test{' over folds' if decision.folds else ''}",
            f"{decision.p_value:.4f}",
        ),
        ("judged", decision.method, f"{decision.folds} folds" if decision.folds else ""),
        ("queries", f"evaluation set {decision.dataset_digest[:12]}", f"{decision.queries:,}"),
        (
            "smallest gain that this set can detect",
            f"with {decision.settings.get('power', 0.8):.0%} power",
            "not known" if effect is None else f"{effect:.4f}",
        ),
    ]


def _guards(guards: list[Guard]) -> list[Row]:
    return [
        (guard.name, guard.value, guard.limit, "pass" if guard.passed else "FAIL", guard.reason) for guard in guards
    ]


def _per_query(candidate: ScoreFile, champion: ScoreFile) -> tuple[Markup, str]:
    ours, theirs = candidate.per_query[HEADLINE], champion.per_query[HEADLINE]
    deltas = np.sort([ours[query] - theirs[query] for query in ours])[::-1]
    better, worse = int((deltas > 0).sum()), int((deltas < 0).sum())
    counts = f"{better:,} better, {len(deltas) - better - worse:,} equal, {worse:,} worse"
    return sorted_differences(deltas, counts), counts


def _metrics(candidate: ScoreFile, champion: ScoreFile) -> list[Row]:
    bm25 = candidate.baselines.get("bm25", {})
    names = [name for name in candidate.metrics if name in champion.metrics]
    return [
        (
            name,
            candidate.metrics[name],
            champion.metrics[name],
            f"{candidate.metrics[name] - champion.metrics[name]:+.4f}",
            bm25.get(name),
        )
        for name in names
    ]


def _slices(candidate: ScoreFile, champion: ScoreFile, decision: Decision) -> _Slices | None:
    ours, theirs = candidate.per_query[HEADLINE], champion.per_query[HEADLINE]
    rows: list[Row] = []
    gains = []
    for slicing, groups in candidate.slices.items():
        for name, queries in groups.items():
            differences = np.array([ours[query] - theirs[query] for query in queries])
            low, high = bootstrap_interval(differences, decision.confidence, _RESAMPLES, seed=0)
            new, old = fmean(map(ours.__getitem__, queries)), fmean(map(theirs.__getitem__, queries))
            rows.append((slicing, name, len(queries), new, old, f"{new - old:+.4f}", f"{low:+.4f} to {high:+.4f}"))
            gains.append(Gain(f"{slicing}: {name}", new - old, low, high))
    if not rows:
        return None
    header = ("slicing", "slice", "queries", "candidate", "champion", "gain", f"{decision.confidence:.0%} interval")
    overall = Gain("all queries", decision.delta, *decision.confidence_interval)
    return _Slices(intervals([overall, *gains[:_SLICES_DRAWN]]), header, rows)


def _timings(candidate: ScoreFile, champion: ScoreFile) -> list[Row]:
    def cells(scores: ScoreFile) -> list[str]:
        return [
            str(scores.encoder.get("precision", "")),
            str(scores.encoder.get("max_seq_length", "")),
            _number(scores.texts_per_second, 0) + (" (when they were cached)" if scores.cached else ""),
            _number(scores.latency_ms, 1),
            _number(None if scores.model_bytes is None else scores.model_bytes / 1e6, 1),
            _number(scores.seconds, 1),
            scores.model_digest[:12],
        ]

    names = ("precision", "tokens at most", "texts/s", "ms a query", "MB", "seconds in all", "digest")
    return list(zip(names, cells(candidate), cells(champion), strict=True))


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
