"""What a person who follows a run is told while it goes on, each thing once."""

import time
from collections.abc import Callable, Iterable

from pipeline.cluster.run_workflow import StageState

_DONE = {"succeeded": "done in", "failed": "FAILED in"}


class StageTeller:
    """Tells stages as they start, wait, are tried again and end.

    Args:
        tell: shows one line.
        why_pending: the reason of a pod that Argo knows none of.
        patience: seconds for which a pod may wait before its reason is told.
    """

    def __init__(self, tell: Callable[[str], None], why_pending: Callable[[str], str], patience: float) -> None:
        self._tell, self._why_pending, self._patience = tell, why_pending, patience
        self._started: set[str] = set()
        self._ended: set[str] = set()
        self._lost: dict[str, int] = {}  # attempts that were told to have ended
        self._waits: dict[str, tuple[str, float]] = {}  # the pod that waits, and since when
        self._reasons: dict[str, str] = {}

    def show(self, stages: Iterable[StageState]) -> None:
        """Tell what is new."""
        for stage in stages:
            if stage.stage in self._ended:
                continue
            if stage.stage not in self._started and stage.state != "cached":
                self._started.add(stage.stage)
                self._tell(f"  {stage.stage} …")
            self._show_attempts(stage)
            if stage.state == "pending":
                self._show_wait(stage)
            elif stage.state != "running":
                self._show_end(stage)

    def _show_attempts(self, stage: StageState) -> None:
        # A pod that failed by itself is not tried again; of the last one only Argo knows whether it is.
        gone = [attempt for attempt in stage.attempts[:-1] if attempt.phase in {"Failed", "Error"}]
        if stage.state != "failed":
            gone += [attempt for attempt in stage.attempts[-1:] if attempt.phase == "Error"]
        told = self._lost.get(stage.stage, 0)
        for number, attempt in enumerate(gone[told:], told + 1):
            why = attempt.message or "no reason is known"
            self._tell(f"  {stage.stage}: attempt {number} ended ({why}); it is retried")
        self._lost[stage.stage] = max(told, len(gone))

    def _show_wait(self, stage: StageState) -> None:
        pod = stage.attempts[-1].pod
        now = time.monotonic()
        before, since = self._waits.get(stage.stage, ("", now))
        if before != pod:
            self._waits[stage.stage], since = (pod, now), now
        if now - since < self._patience:
            return
        reason = (self._why_pending(pod) if stage.waits_for else "") or stage.reason or "no reason is known"
        if self._reasons.get(stage.stage) != reason:
            self._reasons[stage.stage] = reason
            self._tell(f"  {stage.stage} waits: {reason}")

    def _show_end(self, stage: StageState) -> None:
        self._ended.add(stage.stage)
        ended = "cached" if stage.state == "cached" else f"{_DONE[stage.state]} {stage.seconds:.1f} s"
        self._tell(f"  {stage.stage} {ended}")
