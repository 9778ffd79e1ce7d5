"""Hold: nothing changes, and one sentence says why."""

from components.records.decision import Decision


def hold(decision: Decision) -> str:
    """Return the sentence that tells a person why the champion stays."""
    return f"{decision.reason} {decision.champion_model} remains champion."
