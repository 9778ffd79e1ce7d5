"""Hold: nothing changes, and one sentence says why."""

from components.records.decision import Decision


def hold(decision: Decision) -> str:
    """The sentence that tells a person why the champion stays."""
    return f"{decision.reason} {decision.champion_model} stays champion."
