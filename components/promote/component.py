"""The KFP wrapper of `promote`."""

from kfp import dsl

from components.stage import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def promote(
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    decision: dsl.Input[dsl.Artifact],
    index_corpus: str,
    run: str,
) -> str:
    """Register the candidate as a new version and make it the champion; returns the version, such as "V3".

    With a corpus it becomes champion when its index is verified, in the stage after this one.
    """
    from components.stage import Stage

    with Stage("promote"):
        from pathlib import Path

        from components.promote.promote import lineage_of
        from components.promote.promote import promote as promote_model
        from components.records.decision import Decision
        from components.registry.registry import open_registry

        record = Decision.read(Path(decision.path))
        print(record.reason, record.line(), sep="\n")
        lineage = lineage_of(
            Path(model.path),
            Path(dataset.path),
            dataset.metadata["version"],
            run,
            teacher=model.metadata.get("teacher", ""),
            teacher_digest=model.metadata.get("teacher_sha256", ""),
        )
        return promote_model(Path(model.path), record, open_registry(), lineage, awaits_index=bool(index_corpus))
