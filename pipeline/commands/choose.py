"""`ranklift choose`: several base models on your data."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from components.choose.options import ChooseOptions
from components.measure.options import MeasureOptions
from components.prepare.options import PrepareOptions
from components.source.candidates import check_candidates, check_names
from components.source.options import CandidateOptions
from pipeline.commands.groups import grouped
from pipeline.console import AsJson, answer, open_page, table, tell, working
from pipeline.parameters import PARAMETERS

Models = Annotated[str, typer.Option(help="The base models between commas: folders, hub ids, s3://… or package://….")]
Data = Annotated[
    str, typer.Option(help=f"A dataset version, or what `prepare` reads. {PARAMETERS['data'].description}")
]
Recipe = Annotated[str, typer.Option(help=PARAMETERS["recipe"].description)]
BatchSize = Annotated[int, typer.Option(min=0, help=PARAMETERS["batch_size"].description)]
LearningRate = Annotated[float, typer.Option(min=0, help=PARAMETERS["learning_rate"].description)]
Precision = Annotated[str, typer.Option(help=PARAMETERS["precision"].description)]
DevQueries = Annotated[float, typer.Option(help=PARAMETERS["dev_queries"].description)]
Seed = Annotated[int, typer.Option(help=PARAMETERS["seed"].description)]


@grouped
def choose(
    *,
    models: Models,
    data: Data,
    trial: MeasureOptions,
    chosen_by: ChooseOptions,
    recipe: Recipe = "seed",
    batch_size: BatchSize = 0,
    learning_rate: LearningRate = 0.0,
    precision: Precision = "auto",
    dev_queries: DevQueries = 200.0,
    seed: Seed = 42,
    report: Annotated[Path, typer.Option(help="Where to write the report.")] = Path("choice.html"),
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to write the choice as JSON.")] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare base models on your data: quality untouched and after a short training, speed and size.

    They are compared on the dev queries; the test set, by which the gate judges, is not opened.

    Example: ranklift choose --models BAAI/bge-small-en-v1.5,intfloat/e5-small-v2 --data clicks.parquet
    """
    from components.choose.choose import choose as choose_base_model
    from components.choose.report import HEADER, table_rows, write_report
    from components.measure.apart import measure_apart

    names = CandidateOptions.of(base_models=models).base_models
    check_names(names)
    chosen = {"recipe": recipe, "batch_size": batch_size, "learning_rate": learning_rate, "precision": precision}
    jobs = [MeasureOptions.of(base_model=name, examples=trial.examples, seed=seed, **chosen) for name in names]
    # Held out whatever their number: a cross-validation leaves no dev query.
    preparation = PrepareOptions.of(base_model=names[0], dev_queries=dev_queries, folds=1, seed=seed)
    _check_data(data)
    with working("choose"):
        check_candidates(names)
        with _dataset(data, preparation) as dataset:
            choice = choose_base_model([measure_apart(dataset, job) for job in jobs], chosen_by.margin)
    write_report(choice, report)
    if output is not None:
        choice.write(output)
    tell(f"The report is at {report}.")
    if open_:
        open_page(report)
    failed = [f"Not measured: {name}: {reason}" for name, reason in choice.failed.items()]
    text = [table(HEADER, table_rows(choice)), *choice.warnings, *failed, choice.reason]
    answer(choice.model_dump(), "\n\n".join(text), as_json)


def _check_data(data: str) -> None:
    """Raise a DataError where there is no such file or folder; what lies elsewhere is asked for later."""
    from components.prepare.raw.data import local_data

    if "://" not in data and not _is_dataset(data):
        local_data(data, Path(data).expanduser())


def _is_dataset(data: str) -> bool:
    from components.dataset.manifest import MANIFEST

    return "://" not in data and (Path(data).expanduser() / MANIFEST).is_file()


@contextmanager
def _dataset(data: str, options: PrepareOptions) -> Iterator[Path]:
    """Give a dataset version as it is, or one of raw data while the context lasts.

    `measure` counts the tokens of each base model anew, so that it does not matter with which the data is prepared.
    """
    from components.prepare.stage import prepare

    if _is_dataset(data):
        yield Path(data).expanduser()
        return
    with tempfile.TemporaryDirectory(prefix="ranklift-choose-") as scratch:
        prepare(data, Path(scratch) / "dataset", options)
        yield Path(scratch) / "dataset"
