"""Options that several commands share and that no stage declares; those of the stages come from `groups`."""

from pathlib import Path
from typing import Annotated

import typer

Split = Annotated[str, typer.Option(help="Which qrels of a BEIR folder; a dataset version has but one.")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--param", help="NAME=VALUE of the pipeline, such as epochs=2; may be repeated"),
]
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
