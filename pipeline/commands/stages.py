"""Each stage as a separate command, with the pipeline's defaults."""

import json
from pathlib import Path
from typing import Annotated

import typer

from components.dataset.manifest import DEFAULT_SPLIT
from components.export.options import ExportOptions
from components.gate.options import GateParameters
from components.index.options import IndexOptions
from components.prepare.options import PrepareOptions
from components.train.options import TrainOptions
from pipeline.commands.groups import grouped
from pipeline.commands.options import Split
from pipeline.console import AsJson, answer, open_page, tell, working
from pipeline.parameters import PARAMETERS

Output = Annotated[Path, typer.Option("-o", "--output", help="The folder to make.")]


@grouped
def prepare(
    *,
    uri: Annotated[str, typer.Argument(help=PARAMETERS["data"].description)],
    output: Output,
    options: PrepareOptions,
    as_json: AsJson = False,
) -> None:
    """Validate raw data and freeze it as a dataset version.

    Example: ranklift prepare clicks.parquet -o dataset
    """
    from components.prepare.stage import prepare as prepare_dataset

    with working("prepare"):
        manifest = prepare_dataset(uri, output, options)
    counts = ", ".join(f"{count} {name}" for name, count in manifest.counts.items())
    answer(
        manifest.model_dump(),
        f"{output}: {counts}; max_seq_length {manifest.max_seq_length}; digest {manifest.digest[:12]}",
        as_json,
    )


@grouped
def train(
    *,
    dataset: Annotated[Path, typer.Argument(help="A dataset version.")],
    output: Output,
    options: TrainOptions,
    log: Annotated[Path | None, typer.Option(help="Append progress to this file as JSON lines.")] = None,
    tensorboard: Annotated[Path | None, typer.Option(help="Write TensorBoard events to this folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a base model on a dataset version.

    Example: ranklift train dataset -o model
    """
    from components.train.curve import write_curve
    from components.train.stage import train as train_here_or_on_nodes

    with working("train"):
        report = train_here_or_on_nodes(dataset, output, options, log=log, tensorboard=tensorboard)
        write_curve(report, output / "training.html")
    answer(
        report.model_dump(),
        f"{output}: {report.triplets} triplets in {report.seconds:.0f} s ({report.triplets_per_second:.1f}/s), "
        f"{report.judged()}",
        as_json,
    )


@grouped
def export(
    *,
    model: Annotated[str, typer.Argument(help="A fine-tuned model's folder, a hub id, or package://….")],
    output: Output,
    data: Annotated[
        Path | None,
        typer.Option(help="A dataset version or a BEIR folder, whose texts check the export; int8 needs it."),
    ] = None,
    options: ExportOptions,
    matryoshka: Annotated[
        list[int] | None,
        typer.Option(help="A shorter length that the model was trained for (MatryoshkaLoss); for each of them again."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the served form of a model and check it against the model.

    Example: ranklift export model -o served --data dataset
    """
    from components.export.stage import export_for_dataset
    from components.model.base import base_model_directory

    with working("export"):
        config = export_for_dataset(
            base_model_directory(model), data, output, options, base_model=model, matryoshka=matryoshka or ()
        )
    parity = config.parity
    cosine = f"; cosine to the model: minimum {parity.minimum:.5f}, mean {parity.mean:.5f}" if parity else ""
    answer(
        {**config.model_dump(), "digest": config.digest},
        f"{output}: {config.precision}, {config.max_seq_length} tokens, {config.pooling} pooling, "
        f"dimension {config.dimension}{cosine}",
        as_json,
    )


def evaluate(
    model: Annotated[Path, typer.Argument(help="An exported model.")],
    data: Annotated[Path, typer.Option(help="A dataset version or a BEIR folder.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to write the score file.")] = None,
    split: Split = DEFAULT_SPLIT,
    run_file: Annotated[Path | None, typer.Option(help="Also write the rankings as a TREC run file.")] = None,
    name: Annotated[str, typer.Option(help="The model's name in reports.")] = "",
    as_json: AsJson = False,
) -> None:
    """Score a model on an evaluation set, with the encoder that serves.

    Example: ranklift evaluate served --data dataset -o candidate.json
    """
    from components.evaluate.evaluate import evaluate as evaluate_model
    from components.evaluate.progress import ProgressLog
    from components.machine.settings import cache_directory

    with working("evaluate"):
        scores = evaluate_model(
            model,
            data,
            name=name or str(model),
            split=split,
            progress=ProgressLog(),
            cache=cache_directory("encodings"),
            run_file=run_file,
        )
    if output is not None:
        scores.write(output)
        tell(f"The score file is at {output}.")
    metrics = ", ".join(f"{metric} {value:.4f}" for metric, value in scores.metrics.items())
    answer(
        json.loads(scores.to_json()),
        f"{metrics} (max_seq_length {scores.encoder['max_seq_length']}, {scores.encoder['precision']})",
        as_json,
    )


@grouped
def gate(
    *,
    candidate: Annotated[Path, typer.Argument(help="The challenger's score file.")],
    champion: Annotated[Path, typer.Argument(help="The champion's score file.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to write the decision record.")] = None,
    report: Annotated[Path | None, typer.Option(help="Where to write evaluation.html.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="The dataset that both were scored on; the report then shows texts.")
    ] = None,
    split: Split = DEFAULT_SPLIT,
    open_: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
    options: GateParameters,
    as_json: AsJson = False,
) -> None:
    """Judge two score files: exit status 0 promotes, 1 holds, 2 is an error.

    Example: ranklift gate candidate.json champion.json
    """
    from components.gate.decide import decide
    from components.records.scores import ScoreFile

    ours, theirs = ScoreFile.read(candidate), ScoreFile.read(champion)
    decision = decide(ours, theirs, options.options())
    if open_ and report is None:
        report = Path("evaluation.html")
    if report is not None:
        from components.gate.report import write_report  # needs the data extra, which a decision does without

        write_report(decision, ours, theirs, report, data, split=split)
        tell(f"The report is at {report}.")
    if open_ and report is not None:
        open_page(report)
    if output is not None:
        decision.write(output)
    answer(decision.model_dump(), decision.reason, as_json)
    raise typer.Exit(0 if decision.verdict == "promote" else 1)


@grouped
def index(
    *,
    model: Annotated[Path, typer.Argument(help="An exported model.")],
    corpus: Annotated[str, typer.Option(help=PARAMETERS["index_corpus"].description)],
    output: Output,
    data: Annotated[
        Path | None, typer.Option(help="A dataset version or a BEIR folder, whose queries verify the index.")
    ] = None,
    split: Split = DEFAULT_SPLIT,
    previous: Annotated[Path | None, typer.Option(help="An index of this model, whose vectors are reused.")] = None,
    options: IndexOptions,
    as_json: AsJson = False,
) -> None:
    """Embed a corpus with an exported model and build what searches it; goes on where it was stopped.

    Example: ranklift index served --corpus passages.parquet --data dataset -o index
    """
    from components.index.stage import Given, index_into

    with working("index"):
        manifest = index_into(Given(model, corpus, data, split), output, options, previous)
    found = manifest.verification
    told = f"recall@10 {found.recall:.4f} on {found.queries} queries" if found else "not verified: no --data was named"
    answer(
        {"digest": manifest.digest, **manifest.model_dump(mode="json")},
        f"{output}: {manifest.count:,} passages, {told}, digest {manifest.digest[:12]}",
        as_json,
    )
