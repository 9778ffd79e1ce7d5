"""Each stage as a command of its own, with the pipeline's defaults."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands import options
from pipeline.console import AsJson, answer, open_page, tell, working

Output = Annotated[Path, typer.Option("-o", "--output", help="The folder to make.")]


def prepare(
    uri: Annotated[str, typer.Argument(help="A file, a folder, s3://…, hf://datasets/… or demo://docstrings.")],
    output: Output,
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
    seed: options.Seed = 42,
    as_json: AsJson = False,
) -> None:
    """Validate raw data and freeze it as a dataset version.

    Example: ranklift prepare clicks.parquet -o dataset
    """
    from components.prepare.options import prepare_options
    from components.prepare.stage import prepare as prepare_dataset

    chosen = prepare_options(
        base_model=base_model,
        max_triplets=max_triplets,
        triplets_per_query=triplets_per_query,
        max_seq_length=max_seq_length,
        evaluation_queries=evaluation_queries,
        dev_queries=dev_queries,
        folds=folds,
        max_corpus=max_corpus,
        evaluation_source=evaluation_data,
        evaluation_split=evaluation_split,
        on_leak=on_leak,
        strict_passages=strict_passages,
        languages=languages,
        false_negatives=false_negatives,
        seed=seed,
    )
    with working("prepare"):
        manifest = prepare_dataset(uri, output, chosen)
    counts = ", ".join(f"{count} {name}" for name, count in manifest.counts.items())
    answer(
        manifest.model_dump(),
        f"{output}: {counts}; max_seq_length {manifest.max_seq_length}; digest {manifest.digest[:12]}",
        as_json,
    )


def train(
    dataset: Annotated[Path, typer.Argument(help="A dataset version.")],
    output: Output,
    base_model: Annotated[str, typer.Option(help="Folder, hub id, s3://…, package://…; the dataset's if empty.")] = "",
    recipe: options.Recipe = "seed",
    epochs: options.Epochs = 0.0,
    batch_size: options.BatchSize = 0,
    learning_rate: options.LearningRate = 0.0,
    max_seq_length: Annotated[int, typer.Option(min=0, help="Tokens that the model reads; the dataset's when 0.")] = 0,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    log: Annotated[Path | None, typer.Option(help="A file to which progress is added as JSON lines.")] = None,
    tensorboard: Annotated[Path | None, typer.Option(help="A folder to write to for TensorBoard.")] = None,
    seed: options.Seed = 42,
    processes: options.Processes = 0,
    num_nodes: options.NumNodes = 1,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a base model on a dataset version.

    Example: ranklift train dataset -o model
    """
    from components.train.curve import write_curve
    from components.train.processes.launch import train as train_here_or_on_nodes
    from components.train.report import TrainOptions

    chosen = TrainOptions.model_validate(
        {
            "base_model": base_model,
            "recipe": recipe,
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "max_seq_length": max_seq_length,
            "precision": precision,
            "seed": seed,
            "processes": processes,
            "num_nodes": num_nodes,
        }
    )
    with working("train"):
        report = train_here_or_on_nodes(dataset, output, chosen, log=log, tensorboard=tensorboard)
        write_curve(report, output / "training.html")
    answer(
        report.model_dump(),
        f"{output}: {report.triplets} triplets in {report.seconds:.0f} s ({report.triplets_per_second:.1f}/s), "
        f"{report.judged()}",
        as_json,
    )


def export(
    model: Annotated[str, typer.Argument(help="A fine-tuned model's folder, a hub id, or package://….")],
    output: Output,
    data: Annotated[
        Path | None,
        typer.Option(help="A dataset version or a BEIR folder, whose texts check the export; int8 needs it."),
    ] = None,
    max_seq_length: Annotated[int, typer.Option(min=0, help="Tokens; the dataset's, or the model's, when 0.")] = 0,
    precision: options.ServingPrecision = "auto",
    as_json: AsJson = False,
) -> None:
    """Write the served form of a model and check it against the model.

    Example: ranklift export model -o served --data dataset
    """
    from components.export.stage import export_for_dataset
    from components.model.base import base_model_directory

    with working("export"):
        config = export_for_dataset(
            base_model_directory(model),
            data,
            output,
            precision=precision,
            base_model=model,
            max_seq_length=max_seq_length,
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
    split: options.Split = "test",
    run_file: Annotated[Path | None, typer.Option(help="Also write the rankings as a TREC run file.")] = None,
    name: Annotated[str, typer.Option(help="What to call the model in reports.")] = "",
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


def gate(
    candidate: Annotated[Path, typer.Argument(help="The challenger's score file.")],
    champion: Annotated[Path, typer.Argument(help="The champion's score file.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to write the decision record.")] = None,
    report: Annotated[Path | None, typer.Option(help="Where to write evaluation.html.")] = None,
    data: Annotated[Path | None, typer.Option(help="What both were scored on: the report then shows texts.")] = None,
    split: options.Split = "test",
    open_: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
    min_gain: options.MinGain = 0.005,
    alpha: options.Alpha = 0.05,
    guard: options.Guards = None,
    as_json: AsJson = False,
) -> None:
    """Judge two score files: exit status 0 promotes, 1 holds, 2 is an error.

    Example: ranklift gate candidate.json champion.json
    """
    from components.gate.decide import decide
    from components.gate.switches import options_with_guards
    from components.records.scores import ScoreFile

    ours, theirs = ScoreFile.read(candidate), ScoreFile.read(champion)
    decision = decide(ours, theirs, options_with_guards(min_gain, alpha, options.guard_limits(guard)))
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


def index(
    model: Annotated[Path, typer.Argument(help="An exported model.")],
    corpus: Annotated[str, typer.Option(help="dataset, a file, a folder, s3://… or hf://datasets/….")],
    output: Output,
    data: Annotated[
        Path | None, typer.Option(help="A dataset version or a BEIR folder, whose queries verify the index.")
    ] = None,
    split: options.Split = "test",
    former: Annotated[Path | None, typer.Option(help="An index of this model, whose vectors are used again.")] = None,
    texts: options.IndexTexts = 2000,
    storage: options.IndexStorage = "float16",
    min_recall: options.IndexMinRecall = 0.98,
    max_ndcg_drop: options.IndexMaxNdcgDrop = 0.005,
    as_json: AsJson = False,
) -> None:
    """Embed a corpus with an exported model and build what searches it; goes on where it was stopped.

    Example: ranklift index served --corpus passages.parquet --data dataset -o index
    """
    from components.index.options import index_options
    from components.index.stage import Given, index_into

    chosen = index_options(texts=texts, storage=storage, min_recall=min_recall, max_ndcg_drop=max_ndcg_drop)
    with working("index"):
        manifest = index_into(Given(model, corpus, data, split), output, chosen, former)
    found = manifest.verification
    told = f"recall@10 {found.recall:.4f} on {found.queries} queries" if found else "not verified: no --data was named"
    answer(
        {"digest": manifest.digest, **manifest.model_dump(mode="json")},
        f"{output}: {manifest.count:,} passages, {told}, digest {manifest.digest[:12]}",
        as_json,
    )
