"""The KFP wrappers of `index`, in one piece, or with several workers: a plan, the shards of each, and the whole."""

from kfp import dsl

from components.stage import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def index(
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    decision: dsl.Input[dsl.Artifact],
    version: str,
    corpus: str,
    min_recall: float,
    max_ndcg_drop: float,
    run: str,
) -> str:
    """Embed a corpus with a model version, verify the index, and make both champion; returns the index version."""
    from components.stage import Stage

    with Stage("index"):
        import tempfile
        from pathlib import Path

        from components.index.options import IndexOptions
        from components.index.promote import index_and_promote
        from components.index.stage import Given
        from components.machine.settings import cache_directory, home_directory
        from components.records.decision import Decision
        from components.registry.registry import open_registry

        record = Decision.read(Path(decision.path))
        given = Given(
            model=Path(model.path),
            corpus=corpus,
            dataset=Path(dataset.path),
            model_version=version,
            judged_ndcg=record.candidate,
        )
        options = IndexOptions.of(min_recall=min_recall, max_ndcg_drop=max_ndcg_drop)
        # In a container /tmp is memory, or what the node has to spare; the cache is a folder of this machine.
        work = cache_directory("indexing") or Path(tempfile.gettempdir())
        registry = open_registry()
        return index_and_promote(given, record, registry, options, home=home_directory(), work=work, pipeline_run=run)


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def plan_index(
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    decision: dsl.Input[dsl.Artifact],
    version: str,
    corpus: str,
    plan: dsl.Output[dsl.Dataset],
):
    """Sort a corpus once for all workers, and claim the number of its index."""
    from components.stage import Stage

    with Stage("index"):
        import tempfile
        from pathlib import Path

        from components.index.options import IndexOptions
        from components.index.stage import Given
        from components.index.workers import plan_index as plan_for_workers
        from components.machine.settings import cache_directory, home_directory
        from components.records.decision import Decision
        from components.registry.registry import open_registry

        record = Decision.read(Path(decision.path))
        given = Given(model=Path(model.path), corpus=corpus, dataset=Path(dataset.path), model_version=version)
        work = cache_directory("indexing") or Path(tempfile.gettempdir())
        made = plan_for_workers(
            given, record, open_registry(), IndexOptions(), Path(plan.path), home=home_directory(), work=work
        )
        plan.metadata["index"] = made.index


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def embed_shards(model: dsl.Input[dsl.Model], plan: dsl.Input[dsl.Dataset], worker: int, workers: int) -> int:
    """Embed the shards of one worker's range; returns how many passages it embedded."""
    from components.stage import Stage

    with Stage("index"):
        import tempfile
        from pathlib import Path

        from components.index.options import IndexOptions
        from components.index.workers import Worker, embed_range
        from components.machine.settings import cache_directory, home_directory
        from components.registry.registry import open_registry

        work = cache_directory("indexing") or Path(tempfile.gettempdir())
        mine = Worker(worker, workers)
        folders = {"home": home_directory(), "work": work}
        return embed_range(Path(model.path), Path(plan.path), open_registry(), IndexOptions(), mine, **folders)


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def join_index(
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    decision: dsl.Input[dsl.Artifact],
    plan: dsl.Input[dsl.Dataset],
    embedded: list[int],
    version: str,
    corpus: str,
    min_recall: float,
    max_ndcg_drop: float,
    run: str,
) -> str:
    """Make an index of the shards that workers embedded, and go on as `index` does; returns the index version."""
    from components.stage import Stage, tell

    with Stage("index"):
        import tempfile
        from pathlib import Path

        from components.index.options import IndexOptions
        from components.index.promote import index_and_promote
        from components.index.stage import Given
        from components.machine.settings import cache_directory, home_directory
        from components.records.decision import Decision
        from components.registry.registry import open_registry

        tell("index", f"{len(embedded)} workers embedded {sum(map(int, embedded)):,} passages")
        record = Decision.read(Path(decision.path))
        given = Given(
            model=Path(model.path),
            corpus=corpus,
            dataset=Path(dataset.path),
            model_version=version,
            judged_ndcg=record.candidate,
        )
        options = IndexOptions.of(min_recall=min_recall, max_ndcg_drop=max_ndcg_drop)
        work = cache_directory("indexing") or Path(tempfile.gettempdir())
        return index_and_promote(
            given,
            record,
            open_registry(),
            options,
            home=home_directory(),
            work=work,
            pipeline_run=run,
            planned=Path(plan.path),
        )
