"""Options that several commands share and that no stage declares; those of the stages come from `groups`."""

from pathlib import Path
from typing import Annotated

import typer

Split = Annotated[str, typer.Option(help="Which qrels of a BEIR folder; a dataset version has only one.")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--param", help="NAME=VALUE of the pipeline, such as epochs=2; may be repeated"),
]
SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="Images, resources and secrets of the stages; see stages.yaml.")
]
Context = Annotated[
    str | None, typer.Option("--context", help="A context of your kubeconfig; uses that cluster's registry.")
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", help="The InferenceService's namespace; uses its cluster's registry.")
]
StoreSettings = Annotated[
    Path | None,
    typer.Option("--settings", help="A file such as stages.yaml; uses the registry that its object_store names."),
]
ImageTag = Annotated[
    str,
    typer.Option(envvar="RANKLIFT_IMAGE_TAG", help="Tag of the stages' images; default: the checkout's commit."),
]
ImageRegistry = Annotated[
    str, typer.Option(envvar="RANKLIFT_IMAGE_REGISTRY", help="Where the images are kept, such as ghcr.io/you.")
]
