"""Stops a training whose loss grows. One that is not a number stops it at once, in the loss itself."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from components.errors import ModelError
from components.train.loop.distillation import divergence_of_guessing
from components.train.recipes import Recipe

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_LOOKS, _EXAMPLES = 5, 16  #: at least, that the newest loss is a mean over: a single batch may be a hard one
_GUESSING = 0.9  #: of the loss that guessing has: then the model knows next to nothing any more
_GOOD_RATE = 5e-5


class LossGuard(TrainerCallback):
    """Raises when the loss has grown far above where it began; it is looked at some twenty times in a training.

    Args:
        guessing: the loss of a model to which all texts are the same, in nats.
        batch_size: examples in a step, of all processes.
    """

    def __init__(self, guessing: float, batch_size: int) -> None:
        self._guessing = guessing
        self._batch_size = batch_size

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Look at the newest losses; a training that was interrupted remembers the first ones.

        Raises:
            ModelError: when the newest five are 1.5 times what the loss was in the first step and nine tenths of what
                guessing has, or twice the mean of the first five.
        """
        if "loss" not in (logs or {}):
            return
        looks = list(self._looks(state.log_history))
        # A small loss may double and be small: one nat is what guessing between three passages costs.
        for least, examples, times, floor in ((1, 4, 1.5, _GUESSING * self._guessing), (_LOOKS, _EXAMPLES, 2.0, 1.0)):
            first, used = _mean(looks, least, examples)
            last, _ = _mean(looks[used:][::-1], _LOOKS, _EXAMPLES)
            if first is not None and last is not None and last > max(floor, times * first):
                raise ModelError(
                    f"The loss grew from {first:.3f} to {last:.3f} at step {state.global_step}; {advice(args)}"
                )

    def _looks(self, history: list[dict[str, float]]) -> Iterator[tuple[float, int]]:
        before = 0
        for entry in history:
            if "loss" in entry:
                step = int(entry["step"])
                yield entry["loss"], (step - before) * self._batch_size
                before = step


def _mean(looks: list[tuple[float, int]], least: int, examples: int) -> tuple[float | None, int]:
    """Return the mean loss of so many looks and examples, from the first one on, and how many looks it took."""
    total, seen = 0.0, 0
    for number, (loss, count) in enumerate(looks, start=1):
        total += loss * count
        seen += count
        if number >= least and seen >= examples:
            return total / seen, number
    return None, len(looks)


def loss_of_guessing(model: "SentenceTransformer", recipe: Recipe, *, has_teacher: bool = False) -> float:
    """Return the loss of a model to which all texts are the same, in nats, for a recipe's batches."""
    import torch
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    loss = MultipleNegativesRankingLoss(model, directions=recipe.directions)
    no_labels: Any = None
    same = [torch.ones(recipe.batch_size, 2)] * (2 + recipe.negatives)
    contrast = float(loss.compute_loss_from_embeddings(same, no_labels))
    return contrast + divergence_of_guessing(recipe.negatives) if has_teacher else contrast


def advice(args: Any) -> str:
    """Return what to do about a loss that goes wrong, given the trainer's arguments."""
    rate = args.learning_rate
    good = "5e-5 is a good start" if rate > _GOOD_RATE else f"try {rate / 10:g}"
    advice = f"lower --learning-rate ({rate:g} was used, {good})"
    return f"{advice} or train with `--precision fp32`." if args.bf16 else f"{advice}."
