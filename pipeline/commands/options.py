"""Options that several commands share, each written once: its type, its limits and its help."""

from pathlib import Path
from typing import Annotated

import typer

from components.errors import RankliftError

BaseModelName = Annotated[str, typer.Option(help="Folder, hub id, s3://… or package://…; auto: the hub's default.")]
MaxTriplets = Annotated[int, typer.Option(min=0, help="Train on at most so many triplets; 0 keeps all.")]
TripletsPerQuery = Annotated[int, typer.Option(min=1, help="Train on at most so many triplets of one query_id.")]
MaxSeqLength = Annotated[int, typer.Option(min=0, help="Tokens; 0 takes the 99th percentile of the data.")]
EvaluationQueries = Annotated[float, typer.Option(help="Queries held out for the gate: a count, or a share below 1.")]
DevQueries = Annotated[float, typer.Option(help="Queries held out to choose checkpoints by: a count, or a share.")]
Folds = Annotated[
    int, typer.Option(min=0, help="Cross-validate in so many folds; 0: in 10 below 200 judged queries, 1: never.")
]
MaxCorpus = Annotated[int, typer.Option(min=0, help="Passages in the evaluation corpus; 0 keeps all.")]
EvaluationData = Annotated[str, typer.Option(help="A BEIR folder or dataset version to judge on, in place of a split.")]
EvaluationSplit = Annotated[str, typer.Option(help="Which qrels of a BEIR folder.")]
Split = Annotated[str, typer.Option(help="Which qrels of a BEIR folder; a dataset version has but one.")]
OnLeak = Annotated[str, typer.Option(help="When training and evaluation share texts: error, or drop from training.")]
StrictPassages = Annotated[
    bool, typer.Option(help="Whether a relevant passage that training and evaluation share is a leak, too.")
]
Languages = Annotated[str, typer.Option(help="Keep texts of these languages alone, such as en,de; empty keeps all.")]
FalseNegatives = Annotated[
    int, typer.Option(min=0, help="Score so many triplets with the base model and report negatives that look right.")
]
Recipe = Annotated[str, typer.Option(help="How to train: seed, strong, mined or little.")]
Epochs = Annotated[float, typer.Option(min=0, help="Passes over the triplets; 0 is the recipe's.")]
BatchSize = Annotated[int, typer.Option(min=0, help="Queries in a batch; 0 is the recipe's.")]
LearningRate = Annotated[float, typer.Option(min=0, help="Peak of the learning rate; 0 is the recipe's.")]
Processes = Annotated[int, typer.Option(min=0, help="Training processes on a machine; 0 is one for each GPU.")]
NumNodes = Annotated[int, typer.Option(min=1, help="Machines to train on; more than one need Kubeflow Trainer.")]
ServingPrecision = Annotated[str, typer.Option(help="Of serving: auto, fp32, bf16 or int8.")]
MinGain = Annotated[float, typer.Option(help="The smallest gain in NDCG@10 worth a promotion.")]
Alpha = Annotated[float, typer.Option(help="Promote only when p is below this.")]
Guards = Annotated[
    list[str] | None,
    typer.Option("--guard", help="NAME=LIMIT or NAME=off, such as max_recall_drop=0.05; may be repeated."),
]
IndexCorpus = Annotated[
    str, typer.Option(help="Embed it with the promoted model: dataset, a file, a folder, s3://… or hf://datasets/….")
]
IndexMinRecall = Annotated[float, typer.Option(help="Of the ten best passages, the share that the index must find.")]
IndexMaxNdcgDrop = Annotated[float, typer.Option(help="How far NDCG@10 through the index may be below the exact one.")]
IndexTexts = Annotated[int, typer.Option(min=0, help="Characters of every text that the index keeps; 0 for none.")]
IndexStorage = Annotated[str, typer.Option(help="Of the vectors: float16 or float32.")]
SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="Images, resources and secrets of the stages; see stages.yaml.")
]
Context = Annotated[
    str | None, typer.Option("--context", help="Of kubectl's configuration: the registry is that cluster's.")
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", help="Of an InferenceService: the registry is that of its cluster.")
]
StoreSettings = Annotated[
    Path | None,
    typer.Option("--settings", help="Like stages.yaml: the registry is the cluster's that its object_store names."),
]
ImageTag = Annotated[
    str,
    typer.Option(envvar="RANKLIFT_IMAGE_TAG", help="Tag of the stages' images; the checkout's commit if left out."),
]
ImageRegistry = Annotated[
    str, typer.Option(envvar="RANKLIFT_IMAGE_REGISTRY", help="Where the images are kept, such as ghcr.io/you.")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]


def guard_limits(settings: list[str] | None) -> dict[str, str]:
    """``["max_recall_drop=0.05"]`` as a dict.

    Raises:
        RankliftError: when a setting is not NAME=LIMIT.
    """
    pairs = [setting.partition("=") for setting in settings or []]
    for name, equals, limit in pairs:
        if not (name and equals and limit):
            raise RankliftError(
                f"--guard {name}{equals}{limit} is not NAME=LIMIT; give for example --guard max_recall_drop=0.05."
            )
    return {name: limit for name, _, limit in pairs}
