"""From a promoted model to a champion that can be searched: the index is kept first, then one write names both."""

from pathlib import Path

from components.errors import StoreError
from components.index.keeper import StoreKeeper
from components.index.options import IndexOptions
from components.index.plan import read_plan
from components.index.previous import newest_index, opened_index
from components.index.stage import Given, Opened, make_index, plan_of, read_corpus
from components.index.verification import MissedBoundError
from components.machine.scratch_folder import scratch_folder
from components.records.decision import Decision
from components.registry.registry import Lineage, Registry, Version
from components.registry.succession import check_succession, succeed
from components.registry.version import code_version, key_of
from components.stage import tell


def index_and_promote(
    given: Given,
    decision: Decision,
    registry: Registry,
    options: IndexOptions,
    *,
    home: Path,
    work: Path | None = None,
    pipeline_run: str | None = None,
    planned: Path | None = None,
) -> str:
    """Make the index of a model version, and make both champion; returns the index version, such as "V1".

    Run again after a kill it goes on with the shards that were kept, and changes nothing where both are champion.

    Args:
        given: the model, its version, the corpus and the dataset.
        decision: that allows the promotion.
        registry: where all of it is kept.
        options: see `IndexOptions`.
        home: ranklift's data folder, where the previous index may be served from.
        work: a folder with room for the corpus and its index; in the data folder when None.
        pipeline_run: for the lineage and the history.
        planned: the folder of the plan by which workers made the shards; None where there were none.

    Raises:
        StoreError: when the index finds too little, or the model may not become champion any more. The champion is
            then what it was.
    """
    check_succession(decision, registry.champion(), given.model_version)
    lineage = Lineage(
        model_version=given.model_version or None,
        source=given.corpus,
        code_version=code_version(),
        pipeline_run=pipeline_run,
    )
    try:
        work = work or home / "indexing"
        index = publish(given, registry, options, lineage, home=home, work=work, planned=planned)
    except MissedBoundError as error:
        raise StoreError(
            f"{given.model_version} was not made champion: {error}. The champion stays; look at the corpus and the "
            "queries, or allow it with a lower bound."
        ) from error
    champion = registry.champion()
    if champion is not None and (champion.version, champion.index) == (given.model_version, index.name):
        return index.name
    succeed(registry, given.model_version, decision, champion, index=index.name, pipeline_run=pipeline_run)
    return index.name


def publish(
    given: Given,
    registry: Registry,
    options: IndexOptions,
    lineage: Lineage,
    *,
    home: Path,
    work: Path,
    planned: Path | None = None,
) -> Version:
    """Make an index and keep it as a version; see `index_and_promote`."""
    opened = Opened.of(given, options)
    work.mkdir(parents=True, exist_ok=True)
    with scratch_folder(work, ".ranklift-") as scratch:
        plan = read_plan(planned) if planned is not None else None
        previous = plan.previous if plan is not None else newest_index(registry, opened.encoder.digest)
        held = opened_index(registry, previous, opened.encoder.digest, home, scratch / "previous")
        if plan is not None and planned is not None:
            corpus = plan.corpus_in(planned, scratch, held)
            plan.check(opened, corpus)
        else:
            corpus = read_corpus(opened, scratch, held)
        digest = plan_of(opened, corpus)
        name = registry.claim_index(digest)
        folder = scratch / "index"
        folder.mkdir()
        tell("index", f"{corpus.count:,} passages become index {name}")
        make_index(opened, corpus, folder, StoreKeeper(registry.store, key_of("index", name, "")), held)
        made = lineage.model_copy(update={"model_digest": opened.encoder.digest})
        return registry.publish_index(folder, digest, made)
