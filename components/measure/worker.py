"""``python -m components.measure.worker FOLDER``: measures one base model; `apart` starts it."""

import sys
from pathlib import Path
from typing import ClassVar

from pydantic import ValidationError

from components.errors import RankliftError, StoppedError
from components.machine.garbage import spare_collections
from components.machine.system_faults import system_sentence
from components.measure.options import MeasureOptions
from components.records.document import Document
from components.records.measurement import Measurement
from components.stage import invalid_value


class Job(Document):
    """What is to be measured."""

    noun: ClassVar[str] = "job of measure"

    dataset: Path
    options: MeasureOptions


def job_path(folder: Path) -> Path:
    """Return where the job is."""
    return folder / "job.json"


def result_path(folder: Path) -> Path:
    """Return where the measurement goes."""
    return folder / "measurement.json"


def main(folder: Path) -> int:
    """Measure what the folder's job says; the measurement, or why there is none, goes into the folder."""
    spare_collections()
    job = Job.read(job_path(folder))
    from components.measure.stage import measure

    scratch = folder / "scratch"
    scratch.mkdir()
    try:
        measured = measure(job.dataset, job.options, scratch)
    except StoppedError as stopped:
        return stopped.exit_status
    except (RankliftError, ValidationError, OSError) as error:
        failure = _sentence(error)
        if failure is None:
            raise
        Measurement(base_model=job.options.base_model, failure=failure).write(result_path(folder))
        return 0
    Measurement(base_model=job.options.base_model, measured=measured).write(result_path(folder))
    return 0


def _sentence(error: RankliftError | ValidationError | OSError) -> str | None:
    if isinstance(error, ValidationError):
        return invalid_value(error)
    return system_sentence(error) if isinstance(error, OSError) else str(error)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
