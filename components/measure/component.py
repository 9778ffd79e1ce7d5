"""The KFP wrapper of `measure`."""

from kfp import dsl

from components.stage import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def measure(
    dataset: dsl.Input[dsl.Dataset],
    base_model: str,
    fingerprint: str,
    examples: int,
    recipe: str,
    batch_size: int,
    learning_rate: float,
    precision: str,
    seed: int,
    measurement: dsl.Output[dsl.Artifact],
):
    """Score a base model untouched and after a short training; `fingerprint` is there for KFP's cache alone."""
    from components.stage import Stage

    with Stage("measure"):
        from pathlib import Path

        from components.measure.apart import measure_apart
        from components.measure.options import MeasureOptions

        options = MeasureOptions.of(
            base_model=base_model,
            examples=examples,
            recipe=recipe,
            batch_size=batch_size,
            learning_rate=learning_rate,
            precision=precision,
            seed=seed,
        )
        measure_apart(Path(dataset.path), options).write(Path(measurement.path))
