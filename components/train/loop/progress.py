"""Progress of training: lines to read, in a terminal, a pod's log and the KFP UI alike, and JSON lines for machines."""

import json
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from components.stage import tell


class ProgressLines(TrainerCallback):
    """Tells step, loss, rate and time left on standard error, at most every few seconds.

    Args:
        batch_size: examples in a step, for the rate.
        log: a file to which every line is added as a JSON object as well; None for none.
        every: seconds between two lines.
    """

    def __init__(self, batch_size: int, log: Path | None = None, every: float = 5.0) -> None:
        self._batch_size = batch_size
        self._log = log
        self._every = every
        self._started = self._last = 0.0
        self._first = 0
        self._loss: float | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock, at the step that training carries on from."""
        self._started = self._last = time.monotonic()
        self._first = state.global_step
        if self._first:
            tell("train", f"resuming from step {self._first}/{state.max_steps}")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Remember the newest loss, and tell what dev gave at once."""
        self._loss = (logs or {}).get("loss", self._loss)
        dev = {
            name.removeprefix("eval_").replace("_cosine", ""): value
            for name, value in (logs or {}).items()
            if name.startswith("eval_dev_")
        }
        if dev:
            tell(
                "train", f"step {state.global_step}  " + "  ".join(f"{name} {value:.4f}" for name, value in dev.items())
            )
            self._record(state, **dev)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell where training is, when the last line is old enough."""
        now = time.monotonic()
        if now - self._last < self._every and state.global_step < state.max_steps:
            return
        self._last = now
        rate = (state.global_step - self._first) / (now - self._started)
        loss = "" if self._loss is None else f"loss {self._loss:.4f}  "
        left = (state.max_steps - state.global_step) / rate
        tell(
            "train",
            f"step {state.global_step}/{state.max_steps}  {loss}"
            f"{rate * self._batch_size:.1f} examples/s  {left:.0f} s left",
        )
        self._record(state, loss=self._loss, examples_per_second=rate * self._batch_size, seconds_left=left)

    def _record(self, state: Any, **values: float | None) -> None:
        if self._log is None:
            return
        line = {"time": time.time(), "step": state.global_step, "steps": state.max_steps, "epoch": state.epoch} | values
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
