"""Fine-tuning with `SentenceTransformerTrainer`: triplets in, the best checkpoint out."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from components.errors import DataError, ModelError, RankliftError
from components.machine.new_folder import move_whole
from components.machine.scratch_folder import scratch_folder
from components.machine.settings import cache_directory
from components.stage import tell
from components.train.examples.cache import token_ids
from components.train.inputs import Task, check, look_up, open_base_model
from components.train.loop.outcome import Outcome, measured, report_of, tell_doubts
from components.train.loop.trainer import MEASURES, build_trainer
from components.train.options import TrainOptions
from components.train.recipes import Recipe
from components.train.report import REPORT, TrainingReport

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from components.train.examples.tokens import TokenisedExamples
    from components.train.loop.averaging import Weights
    from components.train.loop.dev_set import DevEvaluator
    from components.train.ranks import Ranks

__all__ = ["TrainOptions", "TrainingReport", "train_model"]

_DEV_SHARE = 0.05  #: of the time of training that evaluations may take


def train_model(
    dataset: Path,
    output: Path,
    options: TrainOptions,
    *,
    log: Path | None = None,
    tensorboard: Path | None = None,
    scores: Path | None = None,
) -> TrainingReport:
    """Fine-tune a base model on a dataset version and keep its best checkpoint.

    The loss is MultipleNegativesRankingLoss (Henderson et al. 2017, arXiv:1705.00652): each query must find its own
    positive among all positives and negatives of the batch. Where the options name a teacher its scores are learned as
    well (`distillation`). The recipe says what is best: accuracy or NDCG@10 on dev.

    A training that was killed carries on from its last checkpoint when the same is trained again, and ends with the
    very same weights; with dropout, nodes that carry on from the object store draw anew what is dropped. Checkpoints
    and token ids lie in ``RANKLIFT_CACHE`` where that is set, else beside the output; checkpoints lie in the object
    store as well where ``RANKLIFT_CHECKPOINTS`` says so, from which another machine carries on.

    Args:
        dataset: a dataset version; ``train.parquet`` and ``dev.parquet`` are read, the evaluation files never.
        output: the folder to make, which sentence-transformers opens; ``training.json`` lies in it.
        options: how to train.
        log: a file to which progress is added, one JSON object a line.
        tensorboard: a folder to which losses and what dev gave are written for TensorBoard.
        scores: a folder for a teacher's scores that several trainings share, where there is no ``RANKLIFT_CACHE``.

    Returns:
        The report. Of several processes the first alone measures the base model: `dev_before` is empty elsewhere.

    Raises:
        DataError: when there is too little data for the batch size, or no dev triplet.
        ModelError: when the base model cannot be found, the output folder is in use, or the loss is not a number.
        StoppedError: when SIGTERM or SIGINT asked to stop; a checkpoint was saved then.
    """
    from components.train.checkpoints.local import checkpoints_of, digest_of_inputs
    from components.train.checkpoints.store import StoredTraining, checkpoint_place
    from components.train.checkpoints.uploads import kept_in
    from components.train.loop.progress import ProgressLines
    from components.train.ranks import Ranks

    begun = time.monotonic()
    place = checkpoint_place()
    task = look_up(dataset, options)
    check(task, output)
    _tell_fit(task)
    ranks = Ranks.join()  # which also says which GPU is this process's
    model = open_base_model(task)
    _open_places(output, log)
    board = _tensorboard(tensorboard) if ranks.is_first else []
    inputs = task.inputs()
    stored = StoredTraining(place, digest_of_inputs(inputs)) if place else None
    with (
        ranks.sharing(checkpoints_of(cache_directory("training") or output.parent, inputs)) as checkpoints,
        kept_in(stored, checkpoints, ranks=ranks) as uploads,
        scratch_folder(output.parent, ".training-") as scratch,
    ):
        examples = ranks.after_the_first(lambda: token_ids(task, model, checkpoints, scratch, scores))
        told = [ProgressLines(task.recipe.batch_size, log), *board] if ranks.is_first else []
        callbacks = [*told, uploads]
        report = _run(task, model, examples, checkpoints=checkpoints, callbacks=callbacks, begun=begun, ranks=ranks)
        if ranks.is_first:
            model.max_seq_length = task.max_seq_length
            _save(model, report, scratch / "model", output)
    return report


def _tell_fit(task: Task) -> None:
    """Tell how a recipe was fitted to little data."""
    recipe, named = task.recipe, task.options.resolved()
    changes = []
    if recipe.batch_size != named.batch_size:
        changes.append(f"batches of {recipe.batch_size} in place of {named.batch_size}")
    if recipe.epochs != named.epochs:
        changes.append(f"{recipe.epochs:g} epochs in place of {named.epochs:g}")
    if changes:
        tell("train", f"the data is little: {', '.join(changes)}")


def _open_places(output: Path, log: Path | None) -> None:
    """Make the folders of what is written, and open the log, so that a place where nothing can be is told at once."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.open("a").close()
    except OSError as error:
        raise RankliftError(
            f"{error.filename} cannot be written ({error.strerror}); choose another place for the model or the log."
        ) from error


def _save(model: "SentenceTransformer", report: TrainingReport, saved: Path, output: Path) -> None:
    model.save_pretrained(str(saved), create_model_card=False)
    report.write(saved / REPORT)
    move_whole(saved, output)


def _run(
    task: Task,
    model: "SentenceTransformer",
    examples: "TokenisedExamples",
    *,
    checkpoints: Path,
    callbacks: list[Any],
    begun: float,
    ranks: "Ranks",
) -> TrainingReport:
    from components.train.checkpoints.local import step_of, usable_checkpoints
    from components.train.loop.averaging import weights_of

    recipe = task.recipe._replace(epochs=max(1.0, task.recipe.epochs))  # of less there are fewer examples
    averaging = recipe.averaging if ranks.is_first else ()  # the first alone saves the model
    base = weights_of(model) if averaging else {}
    evaluator = _evaluator(task, recipe, len(examples))
    trainer = build_trainer(
        model,
        examples,
        evaluator,
        recipe,
        precision=task.options.precision,
        seed=task.options.seed,
        checkpoints=checkpoints,
        ranks=ranks,
    )
    checkpoint = ranks.checkpoint(usable_checkpoints(checkpoints) if ranks.leads_node else [])
    started = time.monotonic()
    _train(trainer, task, callbacks, checkpoint, ranks)
    seconds = time.monotonic() - started
    share, dev = _settle(
        model, base, averaging, evaluator=evaluator, state=trainer.state, measure=MEASURES[recipe.measure]
    )
    # Last, since nothing waits for it: training begins sooner. The first process alone reports it.
    before = evaluator(open_base_model(task)) if ranks.is_first and evaluator is not None else {}
    outcome = Outcome(
        resumed_step=step_of(checkpoint) if checkpoint else 0,
        preparation_seconds=started - begun,
        seconds=seconds,
        seen=cast(Any, trainer.loss).examples * ranks.count,  # each process has the same part of a batch
        averaging=share,
        before=before,
        dev=dev,
    )
    if ranks.is_first:
        tell_doubts(outcome, cast(Any, trainer.state).global_step, recipe.batch_size)
    return report_of(task, trainer, examples, outcome)


def _settle(
    model: "SentenceTransformer",
    base: "Weights",
    averaging: tuple[float, ...],
    *,
    evaluator: "DevEvaluator | None",
    state: Any,
    measure: str,
) -> tuple[float, dict[str, float]]:
    """Average the trained weights with the base model's as the recipe says; returns the share, and what dev gave.

    Without dev the first share of the recipe is taken: every fold's model and the final one are made in the same way.
    """
    from components.train.loop.averaging import average, average_at

    if evaluator is None:
        share = averaging[0] if averaging else 1.0
        if averaging:
            average_at(model, base, share)
        return share, {}
    dev = measured(state) or evaluator(model)
    if not averaging:
        return 1.0, dev
    return average(model, base, averaging, lambda: evaluator(model), by=measure, tuned_measures=dev)


def _train(trainer: Any, task: Task, callbacks: list[Any], checkpoint: Path | None, ranks: "Ranks") -> None:
    from components.train.checkpoints.local import StopAndSave
    from components.train.loop.loss_guard import LossGuard, loss_of_guessing

    with StopAndSave(ranks=ranks) as stop:
        guessing = loss_of_guessing(trainer.model, task.recipe, has_teacher=task.teacher is not None)
        guard = LossGuard(guessing, task.recipe.batch_size)
        for callback in (guard, *callbacks, stop):
            trainer.add_callback(callback)
        _train_from(trainer, checkpoint)


def _train_from(trainer: Any, checkpoint: Path | None) -> None:
    from components.train.loop.loss_guard import advice
    from components.train.loop.packed_loss import LossNotFiniteError

    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except LossNotFiniteError as error:
        step = trainer.state.global_step + 1
        raise ModelError(f"The loss became {error} at step {step}; {advice(trainer.args)}") from error
    if not trainer.state.global_step:
        raise DataError(
            f"No batch of {trainer.args.train_batch_size} examples without a text twice can be formed: the same "
            "queries or passages return in all of them; set --batch-size lower, or bring more data."
        )


def _tensorboard(folder: Path | None) -> list[Any]:
    """Return the TensorBoard writer, when a folder is set."""
    if folder is None:
        return []
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RankliftError(
            "--tensorboard needs the package tensorboard; install it with `pip install 'ranklift[tensorboard]'`."
        ) from error
    from transformers.integrations import TensorBoardCallback

    try:
        return [TensorBoardCallback(SummaryWriter(str(folder)))]
    except OSError as error:
        raise RankliftError(
            f"{folder} cannot be written ({error.strerror}); name a folder for --tensorboard."
        ) from error


def _evaluator(task: Task, recipe: Recipe, examples: int) -> "DevEvaluator | None":
    """Measures a part of dev that takes little of the time: a step costs three times what encoding its texts does.

    None where there is no dev, as in cross-validation.
    """
    from components.train.loop.dev_set import DevEvaluator, dev_slice

    if not task.manifest.counts["dev"]:
        return None
    evaluations = 1 + recipe.evaluations + len(recipe.averaging)
    trained = 3 * examples * (2 + recipe.negatives) * recipe.epochs
    return DevEvaluator(dev_slice(task.dataset, int(_DEV_SHARE * trained / evaluations)))
