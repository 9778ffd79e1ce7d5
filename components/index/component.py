"""The KFP wrapper of `index`."""

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
