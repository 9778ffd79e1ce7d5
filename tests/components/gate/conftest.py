"""Score files as `evaluate` writes them, from numbers."""

from collections.abc import Callable, Sequence
from statistics import fmean

import pytest

from components.records.scores import ScoreFile

MakeScores = Callable[..., ScoreFile]


@pytest.fixture(scope="session")
def scores() -> MakeScores:
    """Makes a score file from NDCG@10 values, one for each query; keyword arguments replace its fields."""

    def make(model: str, values: Sequence[float], recall: Sequence[float] | None = None, **fields) -> ScoreFile:
        queries = [f"q{place}" for place in range(len(values))]
        ndcg = dict(zip(queries, map(float, values), strict=True))
        found = dict(zip(queries, map(float, recall if recall is not None else [1.0] * len(values)), strict=True))
        return ScoreFile(
            **{
                "headline": fmean(ndcg.values()),
                "metrics": {"ndcg@10": fmean(ndcg.values()), "recall@100": fmean(found.values())},
                "per_query": {"ndcg@10": ndcg, "recall@100": found},
                "dataset_digest": "d" * 64,
                "model_digest": (model * 64)[:64],
                "model": model,
                "encoder": {"precision": "fp32"},
                "corpus_size": 1000,
                "latency_ms": 8.0,
                "model_bytes": 90_000_000,
                **fields,
            }
        )

    return make
