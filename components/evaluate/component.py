"""The KFP wrapper of `evaluate`."""

from kfp import dsl

from components.stage import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def evaluate(
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    scores: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
):
    """Score one model on the frozen evaluation set, with the encoder that serves."""
    from components.stage import Stage

    with Stage("evaluate"):
        from pathlib import Path

        from components.evaluate.evaluate import evaluate as evaluate_model
        from components.evaluate.progress import ProgressLog
        from components.machine.settings import cache_directory

        result = evaluate_model(
            Path(model.path),
            Path(dataset.path),
            name=model.metadata["name"],
            progress=ProgressLog(),
            cache=cache_directory("encodings"),
        )
        result.write(Path(scores.path))
        for name, value in result.metrics.items():
            metrics.log_metric(name, value)
