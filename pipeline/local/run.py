"""A run of the pipeline on this machine: the compiled YAML, stage by stage, in processes or in containers."""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from components.deploy.settings import ServingSettings
from components.errors import RankliftError
from components.machine.private_files import private_folder
from components.object_store.client import ObjectStoreSettings
from components.object_store.embedded import embedded_store
from components.records.decision import Decision
from components.records.scores import ScoreFile
from pipeline.compile import compile_pipeline
from pipeline.containers.runner import ContainerRun, container_store, docker_runner
from pipeline.local.run_log import RunLog, StageTime
from pipeline.parameters import check_here, check_parameters, settled, shaping


class RunResult(NamedTuple):
    """What a finished run leaves behind."""

    decision: Decision
    dataset: Path
    champion_scores: ScoreFile  #: of the model that is champion after the run
    stages: list[StageTime]
    log: Path


@contextmanager
def configured_store(home: Path) -> Iterator[ObjectStoreSettings]:
    """Open the object store that the environment names, or run the embedded one below `home` meanwhile.

    Inside the context the environment names the store in either case, so that child processes find it.
    """
    settings = ObjectStoreSettings.from_environment()
    if settings is not None:
        yield settings
        return
    with embedded_store(home / "store") as embedded, _environment(embedded.environment()):
        yield embedded


def run_locally(
    parameters: Mapping[str, Any], home: Path, tell: Callable[[str], None], containers: ContainerRun | None = None
) -> RunResult:
    """Compile the pipeline, run it on this machine, and return its decision.

    Args:
        parameters: the pipeline's parameters that differ from their defaults.
        home: ranklift's data folder; artifacts, logs and the embedded store live below it.
        tell: shows one line of progress.
        containers: runs each stage in its own image; in processes of this Python when None.

    Raises:
        RankliftError: when a parameter of any stage is invalid, or a stage failed; its own sentence where the user can
            fix the problem.
    """
    from kfp import components

    check_parameters(parameters)
    check_here(parameters, in_processes=containers is None)
    shape, parameters = shaping(parameters), settled(parameters)
    folder = private_folder(home / "runs") / datetime.now(tz=UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    log = RunLog(folder / "run.log", tell)
    images = containers.images if containers else None
    compile_pipeline(folder / "pipeline.yaml", images, defaults=shape, one_by_one=True)
    with _stages_in(containers, folder, home, parameters), redirect_stdout(log), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = components.load_component_from_file(str(folder / "pipeline.yaml"))
        outputs = outputs_of(pipeline, parameters, log, folder)
    decision = Decision.read(Path(outputs["decision"].path))
    winner = "candidate_scores" if decision.verdict == "promote" else "champion_scores"
    return RunResult(
        decision=decision,
        dataset=Path(outputs["dataset"].path),
        champion_scores=ScoreFile.read(Path(outputs[winner].path)),
        stages=log.stages,
        log=folder / "run.log",
    )


@contextmanager
def _stages_in(
    containers: ContainerRun | None, folder: Path, home: Path, parameters: Mapping[str, Any]
) -> Iterator[None]:
    """Set KFP up to run the stages, with an object store and settings that they find in their environment."""
    from kfp import local

    root = str(folder / "artifacts")
    if containers is not None:
        local.init(docker_runner(containers, folder, home, container_store(home), parameters), pipeline_root=root)
        yield
        return
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=root)
    machine = {"RANKLIFT_HOME": str(home), "RANKLIFT_CACHE": str(home / "cache")}
    serving = ServingSettings()
    if (serving.serving, serving.kubernetes_namespace, serving.inference_service) == ("auto", None, None):
        machine["RANKLIFT_SERVING"] = "machine"  # a notebook's pod has a cluster around it, and serves nothing there
    with configured_store(home), _environment(machine):
        yield


def outputs_of(
    pipeline: Callable[..., Any], parameters: Mapping[str, Any], log: RunLog, folder: Path
) -> dict[str, Any]:
    """Run the pipeline and give its outputs.

    Args:
        pipeline: the pipeline as KFP runs it.
        parameters: the pipeline's parameters.
        log: reads what KFP and the stages print meanwhile.
        folder: the run's folder, with the stages' results below `artifacts`.

    Raises:
        RankliftError: when a stage failed or left no result; its own sentence where it had one.
    """
    outputs: dict[str, Any] = {}
    failure: Exception | None = None
    try:
        outputs = pipeline(**parameters).outputs
    except Exception as error:  # noqa: BLE001 - a stage that left nothing fails KFP in many ways; it is told below
        failure = error
    if (stage := _left_nothing(log, folder)) is not None:
        raise RankliftError(
            log.sentences[0]
            if log.sentences
            else f"Stage {stage} ended and left no result, as a container does when it is removed or runs out of "
            f"memory; read the end of {folder / 'run.log'}."
        ) from failure
    if isinstance(failure, RuntimeError):
        raise RankliftError(_failure(log, folder)) from failure
    if failure is not None:
        raise failure
    return outputs


def _left_nothing(log: RunLog, folder: Path) -> str | None:
    """Return the first stage that is said to have succeeded without a result.

    KFP counts a container that is gone before its status was read as succeeded.
    """
    ended = Counter(stage.stage for stage in log.stages if stage.status == "SUCCESS")  # a stage in a loop does so often
    for stage, count in ended.items():
        if len(list((folder / "artifacts").glob(f"**/{stage}/executor_output.json"))) < count:
            return stage
    return None


def _failure(log: RunLog, folder: Path) -> str:
    if log.sentences:
        return log.sentences[0]
    failed = next((stage.stage for stage in log.stages if stage.status != "SUCCESS"), "pipeline")
    return f"Stage {failed} failed with an unexpected error; read the end of {folder / 'run.log'}."


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
