"""Measure a base model in a separate process, so that a model that crashes or runs out of memory costs no other."""

import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from threading import Thread

from components.machine.child_process import death_by_signal, shown
from components.machine.stop_signals import StopSignals
from components.measure.options import MeasureOptions
from components.measure.worker import Job, job_path, result_path
from components.records.measurement import Measurement

_LOOK = 0.2  # seconds between two looks at whether a signal came
_KEPT = 5  # lines of what a process said at last


def measure_apart(dataset: Path, options: MeasureOptions) -> Measurement:
    """Measure a base model, or say why it cannot be measured.

    Args:
        dataset: a dataset version.
        options: which base model, and how to train it.

    Raises:
        StoppedError: when SIGTERM or SIGINT asked to stop.
    """
    with tempfile.TemporaryDirectory(prefix="ranklift-measure-") as scratch:
        folder = Path(scratch)
        Job(dataset=dataset.absolute(), options=options).write(job_path(folder))
        status, said = _run([sys.executable, "-m", "components.measure.worker", str(folder)])
        if status == 0:
            measurement = Measurement.read(result_path(folder))
        else:
            measurement = Measurement(base_model=options.base_model, failure=_how_it_ended(status, said))
    if measurement.failure:
        print(f"measure: {options.base_model} is left out: {measurement.failure}", file=sys.stderr, flush=True)
    return measurement


def _run(command: list[str]) -> tuple[int, deque[str]]:
    """Return the status of a process, and the last lines that it said."""
    said: deque[str] = deque(maxlen=_KEPT)
    with StopSignals() as signals:
        child = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C in a terminal reaches this process, which hands it on
        )
        reader = Thread(target=lambda: said.extend(shown(child.stdout)), daemon=True)
        reader.start()
        try:
            status = _wait(child, signals)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        reader.join()
    signals.check("Measuring the base models was stopped by {signal}; run the same command again.")
    return status, said


def _wait(child: subprocess.Popen[str], signals: StopSignals) -> int:
    is_told = False
    while True:
        try:
            return child.wait(_LOOK)
        except subprocess.TimeoutExpired:
            if signals.received is not None and not is_told:
                child.send_signal(signals.received)
                is_told = True


def _how_it_ended(status: int, said: Iterable[str]) -> str:
    if died := death_by_signal(status, "Its process", "leave this base model out"):
        return died
    lines = [line.strip() for line in said if line.strip()]
    last = lines[-1] if lines else "it said nothing"
    return f"Its process ended with status {status} ({last}); the lines above say where."
