"""``python -m components.train.processes.worker FOLDER``: one process of several that train one model; see `launch`."""

import os
import sys
from pathlib import Path

from components.errors import RankliftError, StoppedError
from components.machine.garbage import spare_collections
from components.train.processes.job import Ending, Job, ending_path, job_path, pid_path


def main(folder: Path) -> int:
    """Train what the folder's job says; an error goes into the folder, for `launch` to tell."""
    spare_collections()
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    pid_path(folder, rank).write_text(str(os.getpid()), encoding="ascii")
    import torch

    from components.train.loop.fit import train_model

    job = Job.read(job_path(folder))
    try:
        places = {"log": job.log, "tensorboard": job.tensorboard, "scores": job.scores}
        train_model(job.dataset, job.output, job.options, **places)
        torch.distributed.destroy_process_group()
    except StoppedError as stopped:
        # All processes stop after the same step: a status other than 0 would make the launcher kill the others.
        Ending.of(stopped).write(ending_path(folder, rank))
    except RankliftError as error:
        Ending.of(error).write(ending_path(folder, rank))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
