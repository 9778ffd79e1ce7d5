"""Who may become champion: a model that was judged against today's, alone or together with its index."""

from components.errors import StoreError
from components.records.decision import Decision
from components.registry.registry import LATEST, Champion, Registry


def succeed(
    registry: Registry,
    version: str,
    decision: Decision,
    champion: Champion | None,
    *,
    index: str | None = None,
    pipeline_run: str | None = None,
) -> None:
    """Make a model champion that was judged against it, together with its index.

    Args:
        registry: where both are kept.
        version: of the model, such as "V3".
        decision: that allows it.
        champion: the record as it was read.
        index: that the model is searched with; None for none.
        pipeline_run: for the history.

    Raises:
        StoreError: when it was judged against a model that is no longer champion, or another run moved the champion
            meanwhile. The champion is then what it was.
    """
    check_succession(decision, champion, version)
    is_champion = champion is not None and champion.version == version
    try:
        registry.move_champion(
            version,
            champion,
            action="index" if is_champion else "promote",
            reason=searched_with(index) if is_champion else decision.reason,
            decision=None if is_champion else decision,
            pipeline_run=pipeline_run,
            index=index or LATEST,
        )
    except StoreError:
        # The same promotion, tried by another process at the same time, may have come first.
        now = registry.champion()
        if now is None or (now.version, now.index) != (version, index) or not registry.has("model", now.version):
            raise


def searched_with(index: str | None) -> str:
    """Return the reason that the history gives for another index of the same model."""
    return f"It is searched with index {index}."


def check_succession(decision: Decision, champion: Champion | None, version: str) -> None:
    """Raise a StoreError when a model was judged against a previous champion."""
    if champion is not None and champion.digest not in {decision.champion_digest, decision.candidate_digest}:
        raise StoreError(
            f"{version} is stored and did not become champion: it was judged against {decision.champion_model} "
            f"({decision.champion_digest[:12]}…), and {champion.version} ({champion.digest[:12]}…) is champion since "
            f"{champion.current.moved:%Y-%m-%d %H:%M} UTC; run the pipeline again to judge it against that."
        )
