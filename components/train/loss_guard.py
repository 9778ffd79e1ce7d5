"""Stops a training whose loss grows. One that is not a number stops it at once, in the loss itself."""

import statistics
from typing import Any

from transformers import TrainerCallback

from components.errors import ModelError

_SOME = 5  #: losses in a mean: a single one may be that of a hard batch
_WORSE = 2.0  #: times the mean of the first losses: then training undoes what the base model could do


class LossGuard(TrainerCallback):
    """Raises when the loss has grown far above where it began; it is looked at some twenty times in a training."""

    def __init__(self) -> None:
        self._losses: list[float] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Look at the newest loss.

        Raises:
            ModelError: when the mean of the last five is more than twice that of the first five.
        """
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        self._losses.append(loss)
        if len(self._losses) < 2 * _SOME:
            return
        first, last = statistics.mean(self._losses[:_SOME]), statistics.mean(self._losses[-_SOME:])
        # A small loss may double and be small: one nat is what guessing between three passages costs.
        if last > max(1.0, _WORSE * first):
            raise ModelError(
                f"The loss grew from {first:.3f} to {last:.3f} at step {state.global_step}; {advice(args)}"
            )


def advice(args: Any) -> str:
    """What to do about a loss that goes wrong, given the trainer's arguments."""
    advice = f"lower --learning-rate ({args.learning_rate:g} was used, 5e-5 is a good start)"
    return f"{advice} or train with `--precision fp32`." if args.bf16 else f"{advice}."
