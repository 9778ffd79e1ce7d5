"""Progress of training as plain lines, which read well in a terminal, in a pod's log and in the KFP UI alike."""

import sys
import time
from typing import Any

from transformers import TrainerCallback


class ProgressLines(TrainerCallback):
    """Tells step, loss, rate and time left on standard error, at most every few seconds.

    Args:
        batch_size: triplets in a step, for the rate.
        every: seconds between two lines.
    """

    def __init__(self, batch_size: int, every: float = 5.0) -> None:
        self._batch_size = batch_size
        self._every = every
        self._started = self._last = 0.0
        self._first = 0
        self._loss: float | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock, at the step that training carries on from."""
        self._started = self._last = time.monotonic()
        self._first = state.global_step
        if self._first:
            _tell(f"carrying on from step {self._first}/{state.max_steps}")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Remember the newest loss, and tell a dev value at once."""
        self._loss = (logs or {}).get("loss", self._loss)
        for name, value in (logs or {}).items():
            if name.startswith("eval_") and name.endswith("accuracy"):
                _tell(f"step {state.global_step}  {name.removeprefix('eval_')} {value:.4f}")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell where training is, when the last line is old enough."""
        now = time.monotonic()
        if now - self._last < self._every:
            return
        self._last = now
        rate = (state.global_step - self._first) / (now - self._started)
        loss = "" if self._loss is None else f"loss {self._loss:.4f}  "
        left = (state.max_steps - state.global_step) / rate
        _tell(
            f"step {state.global_step}/{state.max_steps}  {loss}"
            f"{rate * self._batch_size:.1f} triplets/s  {left:.0f} s left"
        )


def _tell(line: str) -> None:
    print(f"train: {line}", file=sys.stderr, flush=True)
