"""The KFP wrapper of `export`."""

from kfp import dsl

from components.stage import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def export(
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    precision: str,
    served_model: dsl.Output[dsl.Model],
):
    """Write the exact files that will serve."""
    from components.stage import Stage

    with Stage("export"):
        from pathlib import Path

        from components.export.options import ExportOptions
        from components.export.stage import export_for_dataset

        config = export_for_dataset(
            Path(model.path),
            Path(dataset.path),
            Path(served_model.path),
            ExportOptions.of(precision=precision),
            base_model=model.metadata["base_model"],
        )
        served_model.metadata.update(name="candidate", digest=config.digest, precision=config.precision)
        taught = {name: model.metadata.get(name, "") for name in ("teacher", "teacher_sha256")}
        served_model.metadata.update(taught)  # for the lineage of a version
