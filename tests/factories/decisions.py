"""Decisions to promote and hold with, for tests of what follows the gate."""

from typing import Any

from components.records.decision import Decision, Guard


def make_decision(**changed: Any) -> Decision:
    """A decision to promote; any field can be given another value."""
    values: dict[str, Any] = {
        "verdict": "promote",
        "reason": "Promoted: the candidate has NDCG@10 0.5200 against 0.4200, and every guard passes.",
        "candidate": 0.52,
        "champion": 0.42,
        "delta": 0.1,
        "confidence_interval": (0.05, 0.15),
        "p_value": 0.0001,
        "queries": 200,
        "min_gain": 0.005,
        "alpha": 0.05,
        "guards": [Guard(name="gain", value=0.1, limit=0.005, passed=True)],
        "candidate_model": "candidate",
        "champion_model": "base",
        "candidate_digest": "c" * 64,
        "champion_digest": "b" * 64,
        "dataset_digest": "d" * 64,
    }
    return Decision(**(values | changed))
