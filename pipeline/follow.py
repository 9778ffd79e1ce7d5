"""A run on a cluster, followed stage by stage to its decision."""

import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from components.decision import Decision
from components.errors import DataError, RankliftError, StoreError
from components.object_store import ObjectStore, ObjectStoreSettings
from pipeline.pipelines_api import PIPELINE, PipelinesApi, UnavailableError
from pipeline.run_log import StageTime
from pipeline.submit import Submitted

_OVER = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}
_AWAY = 300.0  # seconds for which KFP may not answer before the following gives up; the run goes on without
Tell = Callable[[str], None]


class Followed(NamedTuple):
    """How a run ended."""

    verdict: Literal["promote", "hold"]
    reason: str  #: the decision's sentence; where it stands when it cannot be read from here
    stages: list[StageTime]


def follow(
    api: PipelinesApi,
    run: Submitted,
    tell: Tell,
    *,
    root: str | None = None,
    timeout: float = 24 * 3600,
    poll: float = 5.0,
) -> Followed:
    """Tell each stage as it starts and ends, and return the decision.

    Args:
        api: where it runs.
        run: what was started.
        tell: shows one line.
        root: where KFP keeps the run's artifacts, to read the decision from.
        timeout: seconds after which to give up.
        poll: seconds between two looks.

    Raises:
        RankliftError: when the run fails, is cancelled or takes too long, or KFP stops answering.
    """
    end = time.monotonic() + timeout
    shown: dict[str, str] = {}
    while True:
        found = _look(api, run, tell, poll)
        stages = _stages(found, run.tasks)
        _show(stages, shown, tell)
        if found.state in _OVER:
            return _ended(found, stages, run, root)
        if time.monotonic() > end:
            raise RankliftError(f"The run was not over after {timeout / 3600:g} hours; it goes on, see {run.url}.")
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
                raise RankliftError(f"{error} The run itself goes on, see {run.url}.") from error
            if not told:
                tell(f"  {error} Trying again.")
                told = True
        time.sleep(poll)


def _stages(run: Any, tasks: dict[str, str]) -> dict[str, Any]:
    """``{stage: task detail}`` in the order in which they began; of several attempts the last."""
    details = run.run_details.task_details if run.run_details else None
    ours = [detail for detail in details or [] if detail.display_name in tasks]
    began = {id(detail): detail.create_time.timestamp() if detail.create_time else 0.0 for detail in ours}
    return {tasks[detail.display_name]: detail for detail in sorted(ours, key=lambda detail: began[id(detail)])}


def _show(stages: dict[str, Any], shown: dict[str, str], tell: Tell) -> None:
    for stage, detail in stages.items():
        before, now = shown.get(stage), detail.state
        if now == before or now in {None, "PENDING", "SKIPPED", "RUNTIME_STATE_UNSPECIFIED"}:
            continue
        if before is None and now != "RUNNING":
            tell(f"  {stage} …")
        if now == "RUNNING":
            tell(f"  {stage} …")
        else:
            tell(f"  {stage} {'done' if now == 'SUCCEEDED' else now} in {_seconds(detail):.1f} s")
        shown[stage] = now


def _ended(found: Any, stages: dict[str, Any], run: Submitted, root: str | None) -> Followed:
    times = [StageTime(name, _seconds(item), item.state) for name, item in stages.items() if item.state != "SKIPPED"]
    if found.state != "SUCCEEDED":
        raise RankliftError(_failure(found, stages, run))
    reason = _reason(run.run_id, root)
    if "promote" in stages and stages["promote"].state == "SUCCEEDED":
        return Followed("promote", reason or f"Promoted; stage gate says why, see {run.url}", times)
    if "hold" in stages and stages["hold"].state == "SUCCEEDED":
        return Followed("hold", reason or f"Held; stage gate says why, see {run.url}", times)
    raise RankliftError(f"The run ended with neither promote nor hold; see {run.url}.")


def _failure(found: Any, stages: dict[str, Any], run: Submitted) -> str:
    failed = [(name, item) for name, item in stages.items() if item.state == "FAILED"]
    if not failed:
        said = found.error.message if found.error is not None else ""
        return f"The run ended as {found.state}{f' ({said})' if said else ''}; see {run.url}."
    name, item = failed[-1]
    said = " ".join((item.error.message or "").split()) if item.error is not None else ""
    return f"Stage {name} failed{f': {said}' if said else ''}; its log is at {run.url}."


def _reason(run_id: str, root: str | None) -> str:
    """The decision's own sentence, from the run's artifacts when this machine may read them."""
    settings = ObjectStoreSettings.from_environment()
    if settings is None or root is None:
        return ""
    place = urlsplit(root)
    store = ObjectStore(settings.model_copy(update={"bucket": place.netloc}))
    prefix = "/".join(filter(None, [place.path.strip("/"), PIPELINE, run_id, "gate", ""]))
    try:
        for item in store.list(prefix):
            if item.key.endswith("/decision"):
                return Decision.parse(store.get(item.key).content, item.key).reason
    except (StoreError, DataError) as error:
        return f"The decision could not be read: {error}"
    return ""


def _seconds(detail: Any) -> float:
    if detail.end_time is None or (detail.start_time or detail.create_time) is None:
        return 0.0
    # KFP writes 1970 for an end that has not come.
    return max(0.0, round(float((detail.end_time - (detail.start_time or detail.create_time)).total_seconds()), 1))
