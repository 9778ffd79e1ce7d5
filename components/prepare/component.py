"""The KFP wrapper of `prepare`."""

from kfp import dsl

from components.stage import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def prepare(
    data: str,
    fingerprint: str,
    base_model: str,
    max_triplets: int,
    triplets_per_query: int,
    max_seq_length: int,
    evaluation_queries: float,
    dev_queries: float,
    folds: int,
    max_corpus: int,
    evaluation_data: str,
    evaluation_split: str,
    on_leak: str,
    strict_passages: bool,
    languages: str,
    false_negatives: int,
    query_generator: str,
    queries_per_passage: int,
    generated_queries: int,
    seed: int,
    dataset: dsl.Output[dsl.Dataset],
    profile: dsl.Output[dsl.HTML],
):
    """Validate raw data and freeze it as a dataset version; `fingerprint` is there for KFP's cache alone."""
    from components.stage import Stage

    with Stage("prepare"):
        import shutil
        from pathlib import Path

        from components.dataset.manifest import PROFILE
        from components.prepare.options import PrepareOptions
        from components.prepare.stage import prepare as prepare_dataset
        from components.registry.registry import open_registry

        directory = Path(dataset.path)
        options = PrepareOptions.of(
            base_model=base_model,
            max_triplets=max_triplets,
            triplets_per_query=triplets_per_query,
            max_seq_length=max_seq_length,
            evaluation_queries=evaluation_queries,
            dev_queries=dev_queries,
            folds=folds,
            max_corpus=max_corpus,
            evaluation_data=evaluation_data,
            evaluation_split=evaluation_split,
            on_leak=on_leak,
            strict_passages=strict_passages,
            languages=languages,
            false_negatives=false_negatives,
            query_generator=query_generator,
            queries_per_passage=queries_per_passage,
            generated_queries=generated_queries,
            seed=seed,
        )
        manifest = prepare_dataset(data, directory, options)
        version = open_registry().publish_dataset(directory)
        shutil.copyfile(directory / PROFILE, profile.path)
        dataset.metadata.update(version=version.name, digest=manifest.digest, **manifest.counts)
