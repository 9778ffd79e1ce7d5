"""What `submit --follow` shows: the run as it goes on, its decision or its fault, and where the time went."""

from typing import TYPE_CHECKING, Any

import typer

from components.kubernetes.account import KUBEFLOW
from pipeline.console import answer, progress_display, table, tell

if TYPE_CHECKING:
    from pipeline.cluster.follow import Followed, Place
    from pipeline.cluster.pipelines_api import PipelinesApi
    from pipeline.cluster.run_outcome import ClusterStageTime
    from pipeline.cluster.submit import Submitted
    from pipeline.settings.file import PipelineSettings

_PARTS = ("driver", "start", "imports", "work", "upload")


def show_run(
    api: "PipelinesApi", run: "Submitted", place: "Place", hours: float, document: dict[str, Any], as_json: bool
) -> int:
    """Follow a run to its end and print it; returns the command's status: 0 promoted, 1 held.

    Args:
        api: where it runs.
        run: what was started.
        place: where its pods, artifacts and predictor are.
        hours: after which to give up.
        document: what is known of the run, as JSON.
        as_json: whether the document is printed, with what is found added.

    Raises:
        RankliftError: when the run fails; the document is printed before.
    """
    from pipeline.cluster.follow import RunFailedError, follow

    try:
        with progress_display() as show:
            ended = follow(api, run, show, place, timeout=hours * 3600)
    except KeyboardInterrupt:
        tell(f"Stopped following; the run continues at {run.url}")
        raise typer.Exit(130) from None
    except RunFailedError as error:
        _tell_times(error.stages)
        if as_json:
            failed: dict[str, Any] = {"verdict": "failed", "reason": str(error), "decision": None, "next": []}
            answer(document | failed | _times(error.stages), "", as_json)
        raise
    _tell_times(ended.stages)
    answer(document | _outcome(ended) | _times(ended.stages), _text(ended), as_json)
    return 0 if ended.verdict == "promote" else 1


def place_of(settings: "PipelineSettings | None", namespace: str | None) -> "Place":
    """Where a run's pods, artifacts and predictor are, by the settings file; `namespace` is the pods', if known."""
    from pipeline.cluster.follow import Place

    place = Place(namespace=namespace or KUBEFLOW, root=settings.pipeline_root if settings else None)
    if settings is None or settings.serving is None:
        return place
    return place._replace(serving=settings.serving.namespace, service=settings.serving.inference_service)


def _outcome(ended: "Followed") -> dict[str, Any]:
    decision = ended.decision.model_dump() if ended.decision else None
    return {"verdict": ended.verdict, "reason": ended.reason, "decision": decision, "next": list(ended.next)}


def _text(ended: "Followed") -> str:
    if not ended.next:
        return ended.reason
    return "\n    ".join([f"{ended.reason}\nPut it into service with", *ended.next])


def _times(stages: "list[ClusterStageTime]") -> dict[str, Any]:
    return {"stages": [stage._asdict() for stage in stages]}


def _tell_times(stages: "list[ClusterStageTime]") -> None:
    rows = [
        (stage.stage, f"{stage.seconds:.1f}", *(_figure(getattr(stage, part)) for part in _PARTS), _note(stage))
        for stage in stages
    ]
    tell("\n" + table(("stage", "seconds", *_PARTS, ""), rows) + "\n")


def _figure(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"


def _note(stage: "ClusterStageTime") -> str:
    if stage.status == "CACHED":
        return "cached"
    return f"{stage.attempts} attempts" if stage.attempts > 1 else ""
