"""A run on a cluster, followed stage by stage to its decision."""

import math
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from components.deploy.settings import NAME
from components.errors import RankliftError
from components.kubernetes.account import KUBEFLOW
from components.records.decision import Decision
from pipeline.cluster.pipelines_api import PipelinesApi, UnavailableError
from pipeline.cluster.run_news import StageTeller
from pipeline.cluster.run_outcome import ClusterStageTime, decision_of, failure_of, next_commands, stage_times
from pipeline.cluster.run_sources import RunSources
from pipeline.cluster.run_workflow import StageState, stages_of
from pipeline.cluster.submit import Submitted

_OVER = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}
_AWAY = 300.0  # seconds for which KFP may not answer before the following gives up; the run goes on without
Tell = Callable[[str], None]


class Place(NamedTuple):
    """Where a run's pods, artifacts and predictor are."""

    namespace: str = KUBEFLOW  #: of the pods
    root: str | None = None  #: where KFP keeps the run's artifacts, to read the decision from
    serving: str = NAME  #: the namespace of the InferenceService
    service: str = NAME  #: its name


class Followed(NamedTuple):
    """How a run ended."""

    verdict: Literal["promote", "hold"]
    reason: str  #: the decision's sentence; why it cannot be read from here, where it cannot
    stages: list[ClusterStageTime]
    decision: Decision | None = None
    next: tuple[str, ...] = ()  #: the commands that put a first champion into service


class RunFailedError(RankliftError):
    """A run that ended without a decision; `stages` are those that it got to."""

    def __init__(self, sentence: str, stages: list[ClusterStageTime]) -> None:
        super().__init__(sentence)
        self.stages = stages


def follow(
    api: PipelinesApi,
    run: Submitted,
    tell: Tell,
    place: Place | None = None,
    *,
    timeout: float = math.inf,
    poll: float = 5.0,
    patience: float = 20.0,
) -> Followed:
    """Tell each stage as it starts, waits, is retried and ends, and return the decision.

    Args:
        api: where it runs.
        run: what was started.
        tell: shows one line.
        place: where its pods and artifacts are.
        timeout: seconds after which to give up; never by default.
        poll: seconds between two looks.
        patience: seconds for which a pod may wait before its reason is told.

    Raises:
        RunFailedError: when the run fails or is cancelled; with the failed stage's own sentence.
        RankliftError: when the run takes too long, or KFP stops answering.
    """
    place = place or Place()
    sources = RunSources(api, run.run_id, place.namespace)
    teller = StageTeller(tell, sources.why_pending, patience)
    end = time.monotonic() + timeout
    while True:
        found = _look(api, run, tell, poll)
        stages = stages_of(sources.workflow(), run.tasks) or _bare_stages(found, run.tasks)
        teller.show(stages)
        if found.state in _OVER:
            return _ended(found, stages, run, sources, place)
        if time.monotonic() > end:
            raise RankliftError(f"The run did not end within {timeout / 3600:g} hours; it continues at {run.url}.")
        time.sleep(poll)


def _look(api: PipelinesApi, run: Submitted, tell: Tell, poll: float) -> Any:
    give_up = time.monotonic() + _AWAY
    told = False
    while True:
        try:
            return api.run(run.run_id)
        except UnavailableError as error:
            transient = error.status in {0, 429} or error.status >= 500
            if not transient or time.monotonic() > give_up:
                raise RankliftError(f"{error} The run itself continues at {run.url}.") from error
            if not told:
                tell(f"  {error} Trying again.")
                told = True
        time.sleep(poll)


def _bare_stages(run: Any, tasks: dict[str, str]) -> list[StageState]:
    """Return what KFP's own API says, which is little: for installations that show no workflow."""
    details = run.run_details.task_details if run.run_details else None
    ours = [detail for detail in details or [] if detail.display_name in tasks and detail.state in _STATES]
    ours.sort(key=lambda detail: detail.create_time.timestamp() if detail.create_time else 0.0)
    last = {tasks[detail.display_name]: detail for detail in ours}
    return [
        StageState(stage, _STATES[detail.state], _said(detail), seconds=_seconds(detail))
        for stage, detail in last.items()
    ]


_STATES: dict[str, Any] = {"RUNNING": "running", "SUCCEEDED": "succeeded", "FAILED": "failed", "CANCELED": "failed"}


def _said(detail: Any) -> str:
    return " ".join((detail.error.message or "").split()) if detail.error is not None else ""


def _seconds(detail: Any) -> float:
    if detail.end_time is None or (detail.start_time or detail.create_time) is None:
        return 0.0
    # KFP writes 1970 for an end that has not come.
    return max(0.0, round(float((detail.end_time - (detail.start_time or detail.create_time)).total_seconds()), 1))


def _ended(found: Any, stages: list[StageState], run: Submitted, sources: RunSources, place: Place) -> Followed:
    times = stage_times(stages, sources)
    if found.state != "SUCCEEDED":
        raise RunFailedError(failure_of(found, stages, run, sources), times)
    done = {item.stage for item in stages if item.state == "succeeded"}
    verdict: Literal["promote", "hold"] = "promote" if "promote" in done else "hold"
    if not done & {"promote", "hold"}:
        raise RunFailedError(f"The run ended with neither promote nor hold; see {run.url}.", times)
    decision, why_not = decision_of(run.run_id, stages, sources, place.root)
    said = (
        decision.reason if decision else f"{'Promoted' if verdict == 'promote' else 'Held'}. {why_not} See {run.url}."
    )
    commands = next_commands(stages, sources, place.serving, place.service)
    return Followed(verdict, said, times, decision, commands)
