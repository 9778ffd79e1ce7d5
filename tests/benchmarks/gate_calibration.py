"""How often the gate promotes a model against its equal (A/A), and how often it sees a gain of known size.

    python tests/benchmarks/gate_calibration.py [--runs 2000]

Each run simulates two models on the same queries: they share how hard a query is, and each adds an error of its own.
NDCG@10 is that of one relevant passage. A row gives the share of runs that promote, and its 95 % interval.
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
_GAIN = np.array([1 / np.log2(1 + rank) if 1 <= rank <= 10 else 0.0 for rank in range(1001)])


def ranks(rng: np.random.Generator, hardness: np.ndarray, better: float) -> np.ndarray:
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


def row(queries: int, runs: int, better: float, options: dict[str, float | int | None]) -> str:
    """One row: the rate, its interval, and the mean of the gains that were measured."""
    outcomes = list(gains(queries, runs, better, options))
    promoted = sum(verdict for verdict, _ in outcomes)
    low, high = stats.binomtest(promoted, runs).proportion_ci()
    return f"{promoted / runs:.3f} ({low:.3f} to {high:.3f}), mean gain {fmean(gain for _, gain in outcomes):+.4f}"


def main() -> None:
    """Print one row for each number of queries."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    runs = parser.parse_args().runs
    the_test_alone = {"min_gain": 0.0, "max_recall_drop": None}
    for queries in QUERIES:
        print(f"{queries:>5} queries, equal, test alone: {row(queries, runs, 0.0, the_test_alone)}", flush=True)
        print(f"{queries:>5} queries, equal, as shipped: {row(queries, runs, 0.0, {})}", flush=True)
        print(f"{queries:>5} queries, better           : {row(queries, runs, 0.15, {})}", flush=True)


if __name__ == "__main__":
    main()
