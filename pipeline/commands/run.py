"""The whole walk: run it here, or compile it for elsewhere."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.commands import options
from pipeline.console import AsJson, answer, progress_display, table, tell


def run(
    data: Annotated[str, typer.Option(help="A file, a folder, s3://…, hf://datasets/… or demo://docstrings.")],
    base_model: options.BaseModelName = "auto",
    max_triplets: options.MaxTriplets = 0,
    triplets_per_query: options.TripletsPerQuery = 1,
    max_seq_length: options.MaxSeqLength = 0,
    evaluation_queries: options.EvaluationQueries = 1000,
    dev_queries: options.DevQueries = 200,
    folds: options.Folds = 0,
    max_corpus: options.MaxCorpus = 10_000,
    evaluation_data: options.EvaluationData = "",
    evaluation_split: options.EvaluationSplit = "test",
    on_leak: options.OnLeak = "error",
    strict_passages: options.StrictPassages = False,
    languages: options.Languages = "",
    false_negatives: options.FalseNegatives = 0,
    recipe: options.Recipe = "seed",
    epochs: options.Epochs = 0.0,
    batch_size: options.BatchSize = 0,
    learning_rate: options.LearningRate = 0.0,
    processes: options.Processes = 0,
    num_nodes: options.NumNodes = 1,
    precision: options.ServingPrecision = "auto",
    min_gain: options.MinGain = 0.005,
    alpha: options.Alpha = 0.05,
    guard: options.Guards = None,
    index_corpus: options.IndexCorpus = "",
    index_min_recall: options.IndexMinRecall = 0.98,
    index_max_ndcg_drop: options.IndexMaxNdcgDrop = 0.005,
    seed: options.Seed = 42,
    ask: Annotated[bool, typer.Option(help="Afterwards start the predictor and ask it one query.")] = True,
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

    parameters = {
        "data": _absolute(data),
        "base_model": _absolute(base_model),
        "max_triplets": max_triplets,
        "triplets_per_query": triplets_per_query,
        "max_seq_length": max_seq_length,
        "evaluation_queries": evaluation_queries,
        "dev_queries": dev_queries,
        "folds": folds,
        "max_corpus": max_corpus,
        "evaluation_data": _absolute(evaluation_data),
        "evaluation_split": evaluation_split,
        "on_leak": on_leak,
        "strict_passages": strict_passages,
        "languages": languages,
        "false_negatives": false_negatives,
        "recipe": recipe,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "processes": processes,
        "num_nodes": num_nodes,
        "precision": precision,
        "min_gain": min_gain,
        "alpha": alpha,
        "guards": options.guard_limits(guard),
        "index_corpus": index_corpus if index_corpus == "dataset" else _absolute(index_corpus),
        "index_min_recall": index_min_recall,
        "index_max_ndcg_drop": index_max_ndcg_drop,
        "seed": seed,
    }
    home = home_directory()
    containers = container_run(image_tag, image_registry) if runner == "docker" else None
    serve = serve_in_container(containers) if containers else running_predictor
    tell(f"ranklift: running the pipeline on {data}")
    with progress_display() as show:
        result = run_locally(parameters, home, show, containers)
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
    settings: options.SettingsFile = None,
    image_tag: Annotated[str, typer.Option(help="Tag of the stages' images; a plain Python image when left out.")] = "",
    image_registry: options.ImageRegistry = "",
    as_json: AsJson = False,
) -> None:
    """Write the pipeline as YAML, which Kubeflow Pipelines runs unchanged.

    Example: ranklift compile -o pipeline.yaml --settings stages.yaml --image-tag 0123456789ab
    """
    from pipeline.compile import compile_pipeline
    from pipeline.containers.images import stage_images
    from pipeline.settings.file import PipelineSettings

    images = stage_images(image_tag, image_registry) if image_tag else None
    compile_pipeline(output, images, PipelineSettings.read(settings) if settings else None)
    answer({"pipeline": str(output)}, f"The compiled pipeline is at {output}.", as_json)


def _absolute(name: str) -> str:
    """Return an existing path as an absolute one, since stages need not run in this folder; anything else as it is."""
    path = Path(name).expanduser()
    return str(path.resolve()) if name and "://" not in name and path.exists() else name
