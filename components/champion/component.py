"""The KFP wrapper of `champion`."""

from kfp import dsl

from components.stage import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def champion(
    dataset: dsl.Input[dsl.Dataset],
    precision: str,
    served_model: dsl.Output[dsl.Model],
):
    """Fetch the model that serves today; the untouched base model while nothing has been promoted."""
    from components.stage import Stage

    with Stage("champion"):
        from pathlib import Path

        from components.champion.champion import champion_model
        from components.export.options import ExportOptions
        from components.registry.registry import open_registry

        options = ExportOptions.of(precision=precision)
        found = champion_model(open_registry(), Path(dataset.path), Path(served_model.path), options)
        served_model.metadata.update(name=found.name, digest=found.digest)
