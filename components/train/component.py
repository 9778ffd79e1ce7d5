"""The KFP wrapper of `train`."""

from kfp import dsl

from components.stage import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def train(
    dataset: dsl.Input[dsl.Dataset],
    recipe: str,
    epochs: float,
    batch_size: int,
    learning_rate: float,
    teacher: str,
    seed: int,
    processes: int,
    num_nodes: int,
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    curve: dsl.Output[dsl.HTML],
):
    """Fine-tune the base model on the dataset's triplets."""
    from components.stage import Stage

    with Stage("train"):
        from pathlib import Path

        from components.train.curve import write_curve
        from components.train.options import TrainOptions
        from components.train.stage import train as train_here_or_on_nodes

        options = TrainOptions.of(
            recipe=recipe,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            teacher=teacher,
            seed=seed,
            processes=processes,
            num_nodes=num_nodes,
        )
        report = train_here_or_on_nodes(Path(dataset.path), Path(model.path), options)
        write_curve(report, Path(curve.path))
        model.metadata.update(base_model=report.base_model, recipe=report.recipe, best_step=report.best_step)
        model.metadata.update(teacher=report.teacher, teacher_sha256=report.teacher_sha256)
        for name, value in report.headline().items():
            metrics.log_metric(name, value)
