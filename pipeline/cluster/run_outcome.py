"""What a run on a cluster came to: the decision, the failed stage's sentence, and where the time went."""

import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from components.deploy.standing import deploy_command, manifest_serves
from components.errors import ERROR_PREFIX, DataError, StoreError
from components.object_store.client import ObjectStore, ObjectStoreSettings
from components.records.decision import Decision
from components.records.stage_times import StageTimes
from pipeline.cluster.pipelines_api import PIPELINE
from pipeline.cluster.run_sources import RunSources
from pipeline.cluster.run_workflow import StageState, last_message
from pipeline.cluster.submit import Submitted

#: What deploy says where no InferenceService is there to be changed.
FIRST_CHAMPION = re.compile(r"deploy: (V\d+)( with index V\d+)? is the first champion")
_TELLS = ("gate", "hold", "promote")  #: stages whose log tells the decision; a cached gate has none


class ClusterStageTime(NamedTuple):
    """How long one stage took, and where that time went; None where it cannot be read."""

    stage: str
    seconds: float  #: from the driver's start to the pod's end
    status: str
    driver: float | None = None  #: of KFP's pod that goes before it
    start: float | None = None  #: from the pod's creation to the process: a node, the image, the inputs
    imports: float | None = None
    work: float | None = None
    upload: float | None = None  #: from the process's end to the pod's: the outputs
    attempts: int = 1


def stage_times(stages: list[StageState], sources: RunSources) -> list[ClusterStageTime]:
    """Return the times of every stage, with what its own log says of them."""
    return [_times(stage, sources) for stage in stages]


def _times(stage: StageState, sources: RunSources) -> ClusterStageTime:
    driver = None if stage.driver is None else round(stage.driver, 1)
    known = ClusterStageTime(stage.stage, round(stage.seconds, 1), stage.state.upper(), driver)
    if stage.state not in {"succeeded", "failed"} or not stage.attempts:
        return known
    last = stage.attempts[-1]
    known = known._replace(attempts=len(stage.attempts))
    times = StageTimes.find(sources.log(last.pod))
    if times is None:
        return known
    return known._replace(
        start=_between(last.began, times.began),
        imports=round(times.imports, 1),
        work=round(times.work, 1),
        upload=_between(times.ended, last.ended),
    )


def _between(first: float, second: float) -> float:
    return round(max(0.0, second - first), 1)


def failure_of(found: Any, stages: list[StageState], run: Submitted, sources: RunSources) -> str:
    """Return the sentence of a run that did not succeed."""
    failed = [stage for stage in stages if stage.state == "failed"]
    if not failed or found.state != "FAILED":
        said = found.error.message if found.error is not None else last_message(sources.workflow())
        return f"The run ended as {found.state}{f' ({said.rstrip(chr(46))})' if said else ''}; see {run.url}."
    last = failed[-1]
    said = last.reason or _error_in_log(last, sources)
    missing = sources.missing
    said = said or last_message(sources.workflow())
    if said:
        return f"Stage {last.stage} failed: {said if said.endswith('.') else f'{said}.'} Its log is at {run.url}."
    return f"Stage {last.stage} failed; its log is at {run.url}. {missing}".strip()


def _error_in_log(stage: StageState, sources: RunSources) -> str:
    log = sources.log(stage.attempts[-1].pod) if stage.attempts else ""
    told = [line.split(ERROR_PREFIX, 1)[1].strip() for line in log.splitlines() if ERROR_PREFIX in line]
    return told[-1] if told else ""


def decision_of(
    run_id: str, stages: list[StageState], sources: RunSources, root: str | None
) -> tuple[Decision | None, str]:
    """Return the decision from a stage's log, else from the run's artifacts, else the reason why there is none."""
    told = {stage.stage: stage for stage in stages if stage.state == "succeeded" and stage.attempts}
    why_not = ""
    try:
        for name in filter(told.__contains__, _TELLS):
            found = Decision.find(sources.log(told[name].attempts[-1].pod))
            if found is not None:
                return found, ""
            why_not = why_not or sources.missing
        found = _stored_decision(run_id, root)
    except (StoreError, DataError) as error:
        return None, f"The gate's decision could not be read: {error}"
    return found, f"The gate's decision could not be read. {why_not}".strip()


def _stored_decision(run_id: str, root: str | None) -> Decision | None:
    settings = ObjectStoreSettings.from_environment()
    if settings is None or root is None:
        return None
    place = urlsplit(root)
    store = ObjectStore(settings.model_copy(update={"bucket": place.netloc}))
    prefix = "/".join(filter(None, [place.path.strip("/"), PIPELINE, run_id, "gate", ""]))
    for item in store.list(prefix):
        if item.key.endswith("/decision"):
            return Decision.parse(store.get(item.key).content, item.key)
    return None


def next_commands(stages: list[StageState], sources: RunSources, namespace: str, service: str) -> tuple[str, ...]:
    """Return the commands that put a first champion into service; none where one serves already."""
    deployed = [stage for stage in stages if stage.stage == "deploy" and stage.state == "succeeded" and stage.attempts]
    first = FIRST_CHAMPION.search(sources.log(deployed[0].attempts[-1].pod)) if deployed else None
    if first is None:
        return ()
    apply = "kubectl apply -f kserve/inference-service.yaml"
    if not manifest_serves(first[1], first[2]):
        return (apply, deploy_command(first[1], namespace))
    return (apply, f"kubectl wait -n {namespace} --for=condition=Ready inferenceservice/{service} --timeout=300s")
