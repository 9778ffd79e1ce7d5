"""What one training came to: its report, and what a person should know who thinks that all went well."""

from typing import TYPE_CHECKING, Any, NamedTuple

from components.stage import tell
from components.train.inputs import Task
from components.train.options import RECIPE_OPTIONS
from components.train.report import DEV_ACCURACY, DEV_NDCG, TrainingReport

if TYPE_CHECKING:
    from components.train.examples.tokens import TokenisedExamples

_FULL = 0.9  #: of what batches have room for
_HARMED = 0.95  #: of the base model's NDCG@10 on dev


class Outcome(NamedTuple):
    """What one training came to, beside what the trainer itself remembers."""

    resumed_step: int  #: from which it carried on; 0 when it began anew
    preparation_seconds: float
    seconds: float
    seen: int  #: examples that all processes were trained on
    averaging: float  #: share of the fine-tuned weights in the model
    before: dict[str, float]  #: what dev gave for the base model; empty in all processes but the first
    dev: dict[str, float]


def report_of(task: Task, trainer: Any, examples: "TokenisedExamples", outcome: Outcome) -> TrainingReport:
    """Return the report of a training that has ended."""
    state = trainer.state
    base_entry = {"step": 0.0, "epoch": 0.0, **{f"eval_{name}": value for name, value in outcome.before.items()}}
    return TrainingReport(
        base_model=task.base_model,
        recipe=task.recipe.name,
        triplets=examples.triplets,
        examples=len(examples),
        max_seq_length=task.max_seq_length,
        training_length=task.training_length,
        steps=state.global_step,
        seconds=round(outcome.seconds, 3),
        preparation_seconds=round(outcome.preparation_seconds, 3),
        resumed_step=outcome.resumed_step,
        triplets_per_second=round(examples.triplets * outcome.seen / len(examples) / outcome.seconds, 3),
        precision="bf16" if trainer.args.bf16 else "fp32",
        best_step=int(state.best_global_step or 0),
        averaging=outcome.averaging,
        dev_before=outcome.before,
        dev=outcome.dev,
        teacher=task.options.teacher,
        teacher_sha256=task.teacher_sha256,
        history=[base_entry, *map(_numbers, state.log_history)],
        options=task.options.model_copy(update={name: getattr(task.recipe, name) for name in RECIPE_OPTIONS}),
    )


def tell_doubts(outcome: Outcome, steps: int, batch_size: int) -> None:
    """Tell what a person should know who thinks that all went well."""
    seen, before, dev = outcome.seen, outcome.before, outcome.dev
    places = (steps - outcome.resumed_step) * batch_size
    if seen < _FULL * places:
        tell(
            "train",
            f"batches had {seen} examples where {places} have room, since no text may be in one twice and the same "
            "queries or passages return in many; a smaller --batch-size, or more different texts, use more of the data",
        )
    if dev and dev[DEV_NDCG] < _HARMED * before[DEV_NDCG]:
        tell(
            "train",
            f"dev NDCG@10 fell from {before[DEV_NDCG]:.4f} to {dev[DEV_NDCG]:.4f}: the model that was kept is worse "
            "than the base model; lower --learning-rate, and look at the profile of the data",
        )


def measured(state: Any) -> dict[str, float]:
    """Return what dev gave for the checkpoint that was kept; empty when none was."""
    entries = [
        entry for entry in state.log_history if entry["step"] == state.best_global_step and f"eval_{DEV_NDCG}" in entry
    ]
    return {name: float(entries[0][f"eval_{name}"]) for name in (DEV_ACCURACY, DEV_NDCG)} if entries else {}


def _numbers(entry: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in entry.items() if isinstance(value, int | float)}
