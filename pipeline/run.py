"""A run of the pipeline on this machine: the compiled YAML, stage by stage, in processes."""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from components.decision import Decision
from components.embedded_store import embedded_store
from components.errors import RankliftError
from components.object_store import ObjectStoreSettings
from components.scores import ScoreFile
from components.settings import ServingSettings
from pipeline.compile import compile_pipeline
from pipeline.run_log import RunLog, StageTime


class RunResult(NamedTuple):
    """What a finished run leaves behind."""

    decision: Decision
    dataset: Path
    champion_scores: ScoreFile  #: of the model that is champion after the run
    stages: list[StageTime]
    log: Path


@contextmanager
def configured_store(home: Path) -> Iterator[ObjectStoreSettings]:
    """The object store that the environment names, or the embedded one below `home` while the context lasts.

    Inside the context the environment names the store in either case, so that child processes find it.
    """
    settings = ObjectStoreSettings.from_environment()
    if settings is not None:
        yield settings
        return
    with embedded_store(home / "store") as embedded, _environment(embedded.environment()):
        yield embedded


def run_locally(parameters: Mapping[str, Any], home: Path, tell: Callable[[str], None]) -> RunResult:
    """Compile the pipeline, run it in processes, and return its decision.

    Args:
        parameters: the pipeline's parameters that differ from their defaults.
        home: ranklift's data folder; artifacts, logs and the embedded store live below it.
        tell: shows one line of progress.

    Raises:
        RankliftError: when a stage failed; its own sentence where the user can fix the problem.
    """
    from kfp import components, local

    folder = home / "runs" / datetime.now(tz=UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    compile_pipeline(folder / "pipeline.yaml")
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(folder / "artifacts"))
    log = RunLog(folder / "run.log", tell)
    machine = {"RANKLIFT_HOME": str(home), "RANKLIFT_CACHE": str(home / "cache")}
    serving = ServingSettings()
    if (serving.serving, serving.kubernetes_namespace, serving.inference_service) == ("auto", None, None):
        machine["RANKLIFT_SERVING"] = "machine"  # a notebook's pod has a cluster around it, and serves nothing there
    with configured_store(home), _environment(machine), redirect_stdout(log), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        walk = components.load_component_from_file(str(folder / "pipeline.yaml"))
        outputs = _outputs(walk, parameters, log, folder)
    decision = Decision.read(Path(outputs["decision"].path))
    winner = "candidate_scores" if decision.verdict == "promote" else "champion_scores"
    return RunResult(
        decision=decision,
        dataset=Path(outputs["dataset"].path),
        champion_scores=ScoreFile.read(Path(outputs[winner].path)),
        stages=log.stages,
        log=folder / "run.log",
    )


def _outputs(walk: Callable[..., Any], parameters: Mapping[str, Any], log: RunLog, folder: Path) -> dict[str, Any]:
    try:
        outputs: dict[str, Any] = walk(**parameters).outputs
    except RuntimeError as error:
        raise RankliftError(_failure(log, folder)) from error
    return outputs


def _failure(log: RunLog, folder: Path) -> str:
    if log.sentences:
        return log.sentences[-1]
    failed = next((stage.stage for stage in log.stages if stage.status != "SUCCESS"), "pipeline")
    return f"Stage {failed} failed for a reason that ranklift does not know; read the end of {folder / 'run.log'}."


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
