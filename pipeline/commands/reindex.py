"""Another corpus for the champion, without a training."""

from pathlib import Path
from typing import Annotated

import typer

from components.index.options import IndexOptions
from pipeline.commands.groups import grouped
from pipeline.commands.registry_place import Where, registry_at
from pipeline.commands.release import Reason
from pipeline.console import AsJson, answer, working


@grouped
def reindex(
    *,
    corpus: Annotated[
        str,
        typer.Option(help="Passages to embed: dataset, a file, a folder, s3://…, hf://… or postgresql://…."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="A dataset version whose queries verify the index; default: the model's own."),
    ] = None,
    options: IndexOptions,
    reason: Reason = "",
    where: Where,
    as_json: AsJson = False,
) -> None:
    """Embed a corpus with the champion's model, verify the index, and put both into service; nothing is trained.

    Example: ranklift reindex --corpus passages.parquet
    """
    from components.deploy.champion import deploy_moved
    from components.index.reindex import reindex as reindex_champion
    from components.index.sources import check_corpus
    from components.machine.settings import home_directory

    check_corpus(corpus)
    where, home = where.resolved(), home_directory()
    with registry_at(where) as registry:
        with working("index"):
            champion = reindex_champion(registry, corpus, options, home=home, dataset=data, reason=reason)
        champion = deploy_moved(champion, registry, home, where.serving())
    said = "serves" if champion.current.served else "will be served once its InferenceService is applied"
    answer(champion.current.model_dump(mode="json"), f"{champion.current.pair} is champion and {said}.", as_json)
