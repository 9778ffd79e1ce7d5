"""How often the gate promotes a model against its equal (A/A), and how often it sees a gain of known size.

    python tests/benchmarks/gate_calibration.py [--runs 2000] [--folds]

Each run simulates two models on the same queries: they share how hard a query is, and each adds an error of its own.
NDCG@10 is that of one relevant passage. A row gives the share of runs that promote, and its 95 % interval.

With --folds the candidate was cross-validated in ten folds, whose models differ: each is better or worse than the
champion on all queries of its fold, by what is worth about 0.03 NDCG@10 (one standard deviation).
"""

import argparse
from collections.abc import Iterator
from statistics import fmean

import numpy as np
from scipy import stats

from components.gate.decide import decide
from components.gate.options import GateOptions
from components.records.scores import ScoreFile

QUERIES = (30, 60, 120, 300)
FEW = (30, 60, 120)
FOLDS, LUCK = 10, 0.15
_GAIN = np.array([1 / np.log2(1 + rank) if 1 <= rank <= 10 else 0.0 for rank in range(1001)])


def ranks(rng: np.random.Generator, hardness: np.ndarray, better: float | np.ndarray) -> np.ndarray:
    """The rank of each query's passage, shape (queries,)."""
    place = np.exp(1.2 * np.maximum(hardness - better + rng.normal(0, 0.6, len(hardness)), 0))
    return np.clip(place.astype(int), 1, 1000)


def score_file(model: str, found: np.ndarray) -> ScoreFile:
    """A score file as `evaluate` writes it."""
    ndcg = {f"q{row}": float(_GAIN[rank]) for row, rank in enumerate(found)}
    recall = {f"q{row}": float(rank <= 100) for row, rank in enumerate(found)}
    return ScoreFile(
        **{"ndcg@10": fmean(ndcg.values())},
        metrics={"ndcg@10": fmean(ndcg.values()), "recall@100": fmean(recall.values())},
        per_query={"ndcg@10": ndcg, "recall@100": recall},
        dataset_digest="d" * 64,
        model_digest=(model * 64)[:64],
        model=model,
        encoder={"precision": "fp32"},
        corpus_size=1000,
        latency_ms=8.0,
        model_bytes=90_000_000,
    )


def gains(
    queries: int, runs: int, better: float, options: dict[str, float | int | None]
) -> Iterator[tuple[bool, float]]:
    """(promoted, measured gain) of each run."""
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        hardness = rng.normal(1.0, 1.6, queries)
        candidate, champion = score_file("a", ranks(rng, hardness, better)), score_file("b", ranks(rng, hardness, 0.0))
        decision = decide(candidate, champion, GateOptions(seed=seed, resamples=499, **options))
        yield decision.verdict == "promote", decision.delta


def gains_in_folds(queries: int, runs: int, better: float, *, by_fold: bool) -> Iterator[tuple[bool, float]]:
    """(promoted, measured gain) of each run with a cross-validated candidate, judged by fold or as if by query."""
    folds = np.arange(queries) % FOLDS
    for seed in range(runs):
        rng = np.random.default_rng((seed, queries))
        hardness = rng.normal(1.0, 1.6, queries)
        candidate = score_file("a", ranks(rng, hardness, better + rng.normal(0, LUCK, FOLDS)[folds]))
        if by_fold:
            candidate.folds = {f"q{place}": int(fold) for place, fold in enumerate(folds)}
        champion = score_file("b", ranks(rng, hardness, 0.0))
        options = GateOptions(seed=seed, resamples=499, min_gain=0.0, max_recall_drop=None)
        decision = decide(candidate, champion, options)
        yield decision.verdict == "promote", decision.delta


def row(queries: int, runs: int, better: float, options: dict[str, float | int | None]) -> str:
    """One row: the rate, its interval, and the mean of the gains that were measured."""
    return rate(list(gains(queries, runs, better, options)))


def rate(outcomes: list[tuple[bool, float]]) -> str:
    """The share of runs that promoted with its interval, and the mean of the gains that were measured."""
    runs = len(outcomes)
    promoted = sum(verdict for verdict, _ in outcomes)
    low, high = stats.binomtest(promoted, runs).proportion_ci()
    return f"{promoted / runs:.3f} ({low:.3f} to {high:.3f}), mean gain {fmean(gain for _, gain in outcomes):+.4f}"


def print_folds(runs: int) -> None:
    """Print the rates of cross-validated candidates."""
    rows = {"equal, by fold": (0.0, True), "equal, by query": (0.0, False), "better, by fold": (0.15, True)}
    for queries in FEW:
        for name, (better, by_fold) in rows.items():
            found = rate(list(gains_in_folds(queries, runs, better, by_fold=by_fold)))
            print(f"{queries:>5} queries, {name:<15}: {found}", flush=True)


def main() -> None:
    """Print one row for each number of queries."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--folds", action="store_true", help="candidates that were cross-validated")
    arguments = parser.parse_args()
    runs = arguments.runs
    if arguments.folds:
        print_folds(runs)
        return
    the_test_alone = {"min_gain": 0.0, "max_recall_drop": None}
    for queries in QUERIES:
        print(f"{queries:>5} queries, equal, test alone: {row(queries, runs, 0.0, the_test_alone)}", flush=True)
        print(f"{queries:>5} queries, equal, as shipped: {row(queries, runs, 0.0, {})}", flush=True)
        print(f"{queries:>5} queries, better           : {row(queries, runs, 0.15, {})}", flush=True)


if __name__ == "__main__":
    main()
