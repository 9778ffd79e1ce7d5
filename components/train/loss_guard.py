"""Stops a training that has gone wrong, at the step where it shows."""

import math
from typing import Any

from transformers import TrainerCallback

from components.errors import ModelError

_WORSE = 1.5  #: times the first loss: then training undoes what the base model could do


class LossGuard(TrainerCallback):
    """Raises when the loss is not a number, or has grown far above where it began."""

    def __init__(self) -> None:
        self._first: float | None = None

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Look at the newest loss.

        Raises:
            ModelError: when it is not finite, or more than half above the first after the warm-up.
        """
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if not math.isfinite(loss):
            raise ModelError(f"The loss became {loss} at step {state.global_step}; {_advice(args)}")
        if self._first is None:
            self._first = loss
        # A small loss may double and be small: one nat is what guessing between three passages costs.
        if loss > max(1.0, _WORSE * self._first):
            raise ModelError(
                f"The loss grew from {self._first:.3f} to {loss:.3f} at step {state.global_step}; {_advice(args)}"
            )


def _advice(args: Any) -> str:
    advice = f"lower --learning-rate ({args.learning_rate:g} was used, 5e-5 is a good start)"
    return f"{advice} or train with `--precision fp32`." if args.bf16 else f"{advice}."
