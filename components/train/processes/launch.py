"""Training in as many processes as there are GPUs, or as were asked for: here, or on several nodes.

`accelerate launch` starts the processes (`worker`). This one hands signals on to them, passes on what they tell, and
makes one sentence of how they ended.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from components.errors import ModelError, RankliftError, StoppedError
from components.machine.child_process import death_by_signal, show
from components.machine.processor import available_cpus
from components.machine.stop_signals import handled
from components.train.options import check_shares
from components.train.processes.job import Ending, Job, ending_path, job_path, pid_path

_PROGRESS = "train: "  # as `tell` writes it
_KEPT = 60  # lines of what the launcher says about a failure
#: Where torchrun begins to say in many lines that a process failed: its log's E and W lines, and tracebacks.
_FAILURE = re.compile(r"(\[rank\d+\]:)?(Traceback \(most recent call last\)|[EW]\d{4} \d\d:\d\d:\d\d\.\d+)")
_EXIT_CODE = re.compile(r"exitcode\s*:\s*(-?\d+)")
#: So that a file of the user's own for `accelerate` changes nothing here.
_CONFIG = "compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_GPU\nmixed_precision: 'no'\nuse_cpu: false\n"


class Nodes(NamedTuple):
    """The machines that train together, and which of them this is."""

    machines: int = 1
    rank: int = 0
    address: str = "127.0.0.1"  #: of the first one
    port: int = 0  #: there; 0 is any free one, on one machine


def process_count(processes: int) -> int:
    """How many processes train on this machine.

    Args:
        processes: as asked for; 0 is one for each GPU, at least one.

    Raises:
        ModelError: when there are GPUs, but not as many.
    """
    if processes == 1:
        return 1
    import torch

    gpus = torch.cuda.device_count()
    if gpus and processes > gpus:
        raise ModelError(
            f"{processes} processes were requested, and {gpus} GPUs are visible here; set --processes to {gpus}, or to "
            "0 for one on each."
        )
    return processes or max(1, gpus)


def train_together(job: Job, nodes: Nodes | None = None) -> None:
    """Train in `job.options.processes` processes on this machine, together with those of other nodes.

    The batch is shared out: it must be a multiple of the number of processes. The weights are those that one process
    would find, but for rounding and dropout.

    Args:
        job: what to train, and how; its `processes` is not 0. The first process of the first node makes its output.
        nodes: where the others are; None when there is one machine.

    Raises:
        RankliftError: as `train_model`, and when a process failed.
        StoppedError: when SIGTERM or SIGINT asked to stop.
    """
    nodes, options = nodes or Nodes(), job.options
    check_shares(options, options.processes * nodes.machines)
    with tempfile.TemporaryDirectory(prefix="ranklift-train-") as scratch:
        folder = Path(scratch)
        job.write(job_path(folder))
        (folder / "accelerate.yaml").write_text(_CONFIG, encoding="ascii")
        status, stopped_by, kept = _run(_command(folder, options.processes, nodes), folder, options.processes, nodes)
        _raise_ending(folder, options.processes, status, stopped_by, kept)


def _command(folder: Path, processes: int, nodes: Nodes) -> list[str]:
    # --multi_gpu is torchrun, with CPUs as well; --cpu would be MPI.
    options = {
        "--config_file": folder / "accelerate.yaml",
        "--num_processes": processes * nodes.machines,
        "--num_machines": nodes.machines,
        "--machine_rank": nodes.rank,
        "--main_process_ip": nodes.address,
        "--main_process_port": nodes.port,
        "--rdzv_backend": "static",
        "--num_cpu_threads_per_process": max(1, available_cpus() // processes),
        "--mixed_precision": "no",  # the trainer's own settings say it
        "--dynamo_backend": "no",
    }
    flags = [text for name, value in options.items() for text in (name, str(value))]
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--same_network"]
    return [*launcher, *flags, "--module", "components.train.processes.worker", str(folder)]


def _environment(nodes: Nodes) -> dict[str, str]:
    # What Kubeflow Trainer gives a node for torchrun stands in the command already.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PET_")}
    if nodes.machines == 1:
        # gloo would look up this machine's name, which need not lead anywhere.
        loopback = "lo" if sys.platform == "linux" else "lo0"
        environment.setdefault("GLOO_SOCKET_IFNAME", loopback)
    return environment


def _run(
    command: list[str], folder: Path, processes: int, nodes: Nodes
) -> tuple[int, signal.Signals | None, list[str]]:
    """Return the launcher's status, the signal that asked to stop, and what it said at last."""
    launcher = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=_environment(nodes),
        start_new_session=True,  # Ctrl-C in a terminal reaches this process, which hands it on
    )
    received: list[signal.Signals] = []

    def hand_on(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        # The first time to the workers alone: torchrun would give them 30 s to save, and then kill them.
        pids = [] if len(received) > 1 else _pids(folder, processes)
        for pid in pids or [launcher.pid]:
            _send(pid, number)

    try:
        with handled(hand_on):
            kept = _pass_on(launcher.stdout)
            status = launcher.wait()
    finally:
        if launcher.poll() is None:
            _send(launcher.pid, signal.SIGTERM)  # torchrun takes its workers along
            launcher.wait()
    return status, received[0] if received else None, kept


def _pids(folder: Path, processes: int) -> list[int]:
    paths = [pid_path(folder, rank) for rank in range(processes)]
    return [int(text) for path in paths if path.is_file() and (text := path.read_text(encoding="ascii"))]


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it has just ended


def _pass_on(stream: Iterable[str] | None) -> list[str]:
    """Pass lines on to standard error; from where torchrun reports a failure, keep the last ones instead.

    Progress is passed on all the same: torch warns in the form in which it reports a failure.
    """
    kept: list[str] = []
    for line in stream or ():
        if not line.startswith(_PROGRESS) and (kept or _FAILURE.match(line)):
            kept = [*kept[-_KEPT:], line]
        else:
            show(line)
    return kept


def _raise_ending(
    folder: Path, processes: int, status: int, stopped_by: signal.Signals | None, kept: list[str]
) -> None:
    """Raise what kept the workers from their end; the first one to fail says why."""
    records = sorted(
        (path for rank in range(processes) if (path := ending_path(folder, rank)).is_file()),
        key=lambda path: path.stat().st_mtime_ns,
    )
    if records:
        raise Ending.read(records[0]).error()
    if stopped_by is not None and status:
        raise StoppedError(
            f"Training was stopped by {stopped_by.name} before it could save; run the same command again.", stopped_by
        )
    if status:
        sys.stderr.writelines(kept)
        raise RankliftError(_how_it_ended(status, "".join(kept)))


def _how_it_ended(status: int, said: str) -> str:
    found = _EXIT_CODE.search(said)
    code = int(found[1]) if found else status
    if died := death_by_signal(code, "A training process", "lower --batch-size or --processes"):
        return died
    return (
        f"A training process ended with status {code}; the lines above say where, and the same again with "
        "--processes 1 tells whether it has to do with several."
    )
