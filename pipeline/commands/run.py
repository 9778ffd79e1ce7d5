"""The whole pipeline: run it here, or compile it for elsewhere."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from components.index.options import DATASET
from components.source.options import CandidateOptions
from pipeline.commands import options
from pipeline.commands.groups import RunParameters, grouped
from pipeline.console import AsJson, answer, progress_display, table, tell
from pipeline.parameters import LOCAL_PATHS, PARAMETERS, read_parameters


@grouped
def run(
    *,
    data: Annotated[str, typer.Option(help=PARAMETERS["data"].description)],
    parameters: RunParameters,
    ask: Annotated[bool, typer.Option(help="Start the predictor afterwards and ask it one query.")] = True,
    runner: Annotated[Literal["process", "docker"], typer.Option(help="Where the stages run.")] = "process",
    image_tag: options.ImageTag = "",
    image_registry: options.ImageRegistry = "",
    as_json: AsJson = False,
) -> None:
    """Run the whole pipeline here: prepare, train, export, evaluate, gate, promote, index, deploy.

    Example: ranklift run --data clicks.parquet
    """
    from components.machine.settings import home_directory
    from pipeline.containers.predictor import serve_in_container
    from pipeline.containers.runner import container_run
    from pipeline.local.ask import ask_champion
    from pipeline.local.predictor import running_predictor
    from pipeline.local.run import run_locally

    chosen = {"data": data, **parameters}
    paths = [name for name in LOCAL_PATHS if (name, chosen[name]) != ("index_corpus", DATASET)]
    chosen |= {name: _absolute(chosen[name]) for name in paths}
    chosen["base_models"] = [
        _absolute(name) for name in CandidateOptions.of(base_models=chosen["base_models"]).base_models
    ]
    home = home_directory()
    containers = container_run(image_tag, image_registry) if runner == "docker" else None
    serve = serve_in_container(containers) if containers else running_predictor
    tell(f"ranklift: running the pipeline on {data}")
    with progress_display() as show:
        result = run_locally(chosen, home, show, containers)
    tell("\n" + table(("stage", "seconds"), [(stage.stage, stage.seconds) for stage in result.stages]) + "\n")
    asked = ask_champion(home, result.dataset, result.champion_scores, serve) if ask else None
    document = {
        "decision": result.decision.model_dump(),
        "stages": [stage._asdict() for stage in result.stages],
        "log": str(result.log),
        "asked": asked._asdict() if asked else None,
    }
    answer(document, "\n\n".join(filter(None, [result.decision.reason, str(asked) if asked else ""])), as_json)


def compile_(
    output: Annotated[Path, typer.Option("-o", "--output", help="The YAML file to write.")] = Path("pipeline.yaml"),
    param: options.Parameters = None,
    settings: options.SettingsFile = None,
    image_tag: Annotated[str, typer.Option(help="Tag of the stages' images; default: a plain Python image.")] = "",
    image_registry: options.ImageRegistry = "",
    as_json: AsJson = False,
) -> None:
    """Write the pipeline as YAML, which Kubeflow Pipelines runs unchanged; --param sets another default in it.

    Example: ranklift compile -o pipeline.yaml --settings stages.yaml --image-tag 0123456789ab
    """
    from pipeline.compile import compile_pipeline
    from pipeline.images import stage_images
    from pipeline.settings.file import PipelineSettings

    images = stage_images(image_tag, image_registry) if image_tag else None
    chosen = PipelineSettings.read(settings) if settings else None
    compile_pipeline(output, images, chosen, read_parameters(param or []))
    answer({"pipeline": str(output)}, f"The compiled pipeline is at {output}.", as_json)


def _absolute(name: str) -> str:
    """Return an existing path as an absolute one, since stages need not run in this folder; anything else as it is."""
    path = Path(name).expanduser()
    return str(path.resolve()) if name and "://" not in name and path.exists() else name
