"""From a promoted model to a champion that can be searched: the index is kept first, then one write names both."""

from pathlib import Path

from components.errors import StoreError
from components.index.keeper import StoreKeeper
from components.index.options import IndexOptions
from components.index.stage import Given, Opened, make_index, plan_of, read_corpus
from components.index.verification import MissedBoundError
from components.machine.scratch_folder import scratch_folder
from components.records.decision import Decision
from components.registry.files import VERSION
from components.registry.registry import Lineage, Registry, Version
from components.registry.succession import check_succession, succeed
from components.registry.version import code_version, key_of, number_of
from components.search.reader import Index, open_index
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
) -> str:
    """Make the index of a model version, and make both champion; returns the index version, such as "V1".

    Run again after a kill it goes on with the shards that were kept, and changes nothing where both are champion.

    Args:
        given: the model, its version, the corpus and the dataset.
        decision: that allows the promotion.
        registry: where all of it is kept.
        options: see `IndexOptions`.
        home: ranklift's data folder, where a former index may be served from.
        work: a folder with room for the corpus and its index; in the data folder when None.
        pipeline_run: for the lineage and the history.

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
        index = publish(given, registry, options, lineage, home=home, work=work or home / "indexing")
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
    given: Given, registry: Registry, options: IndexOptions, lineage: Lineage, *, home: Path, work: Path
) -> Version:
    """Make an index and keep it as a version; skip an index that is stored already."""
    opened = Opened.of(given, options)
    work.mkdir(parents=True, exist_ok=True)
    with scratch_folder(work, ".ranklift-") as scratch:
        former = former_index(registry, opened.encoder.digest, home, scratch / "former")
        corpus = read_corpus(opened, scratch, former)
        plan = plan_of(opened, corpus)
        name = registry.claim_index(plan)
        folder = scratch / "index"
        folder.mkdir()
        tell("index", f"{corpus.count:,} passages become index {name}")
        make_index(opened, corpus, folder, StoreKeeper(registry.store, key_of("index", name, "")), former)
        return registry.publish_index(folder, plan, lineage.model_copy(update={"model_digest": opened.encoder.digest}))


def former_index(registry: Registry, model_digest: str, home: Path, folder: Path) -> Index | None:
    """Return the newest index of a model; None where there is none.

    Args:
        registry: where it is kept.
        model_digest: of the model.
        home: ranklift's data folder; what this machine serves is not fetched again.
        folder: where it is fetched to otherwise.
    """
    same = [it for it in registry.list_versions("index") if it.lineage.model_digest == model_digest]
    if not same:
        return None
    newest = max(same, key=lambda it: number_of(it.version))
    served = home / "serving" / "indexes" / newest.version
    if (served / VERSION).is_file() and (served / VERSION).read_bytes() == newest.stored():
        folder = served
    registry.download("index", newest.version, folder)
    return open_index(folder, model_digest, frugal=True)
