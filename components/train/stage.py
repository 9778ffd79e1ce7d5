"""Training wherever it is asked to run: in this process, in several processes here, or on several nodes."""

import os
from pathlib import Path

from components.dataset.manifest import DatasetManifest
from components.errors import RankliftError
from components.train.cross_validation import train_with_folds
from components.train.loop.fit import train_model
from components.train.nodes.settings import TrainJobSettings
from components.train.options import TrainOptions
from components.train.processes.job import Job
from components.train.processes.launch import process_count, train_together
from components.train.report import REPORT, TrainingReport


def train(
    dataset: Path, output: Path, options: TrainOptions, *, log: Path | None = None, tensorboard: Path | None = None
) -> TrainingReport:
    """Train as `train_model` does, in one process or several, here or on several nodes.

    Where the dataset is cross-validated a model is trained for each fold as well; see `train_with_folds`.

    Raises:
        RankliftError: as `train_model`, and when a process or node failed.
        StoppedError: when SIGTERM or SIGINT asked to stop.
    """
    if options.num_nodes > 1:
        TrainJobSettings.from_environment()  # nodes of no cluster are told before anything is read
    if not DatasetManifest.of(dataset).folds:
        return _train_one(dataset, output, options, log=log, tensorboard=tensorboard)
    if options.num_nodes > 1:
        raise RankliftError(
            f"{dataset} is cross-validated, which is for little data and trains on one machine; leave out --num-nodes, "
            "or prepare with --folds 1."
        )

    def train_one(data: Path, model: Path, scores: Path) -> TrainingReport:
        return _train_one(data, model, options, log=log, tensorboard=tensorboard, scores=scores)

    return train_with_folds(dataset, output, options, train_one)


def _train_one(
    dataset: Path,
    output: Path,
    options: TrainOptions,
    *,
    log: Path | None,
    tensorboard: Path | None,
    scores: Path | None = None,
) -> TrainingReport:
    if options.num_nodes > 1:
        from components.train.nodes.run import train_on_nodes

        if log or tensorboard:
            raise RankliftError(
                "A log and TensorBoard's files are written where the training runs, which with --num-nodes is no place "
                "of this machine; leave out --log and --tensorboard."
            )

        return train_on_nodes(dataset, output, options)
    count = process_count(options.processes)
    if count == 1:
        _show_one_gpu()
        return train_model(dataset, output, options, log=log, tensorboard=tensorboard, scores=scores)
    job = Job(
        dataset=dataset.absolute(),
        output=output.absolute(),
        options=options.model_copy(update={"processes": count}),
        log=log and log.absolute(),
        tensorboard=tensorboard and tensorboard.absolute(),
        scores=scores and scores.absolute(),
    )
    train_together(job)
    return TrainingReport.read(output / REPORT)


def _show_one_gpu() -> None:
    # The trainer would spread its model over every visible GPU, in threads, with as many batches at once.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    os.environ["CUDA_VISIBLE_DEVICES"] = visible.partition(",")[0]
