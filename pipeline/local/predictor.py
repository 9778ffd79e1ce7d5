"""The predictor as a process of this machine, on loopback."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.deploy.smoke import is_ready
from components.errors import RankliftError
from components.machine.private_files import private_log
from components.model.served import MODEL_NAME

_READY_WITHIN = 60.0


def predictor_command(model: Path, port: int, host: str = "127.0.0.1", grpc_port: int | None = None) -> list[str]:
    """Return the command line that serves a model directory over HTTP, and over gRPC where a port for it is named."""
    grpc = ["--enable_grpc", "false"] if grpc_port is None else ["--enable_grpc", "true", "--grpc_port", str(grpc_port)]
    return [
        sys.executable, "-m", "predictor", "--model_dir", str(model), "--model_name", MODEL_NAME,
        "--http_port", str(port), "--host", host, *grpc,
    ]  # fmt: skip


@contextmanager
def running_predictor(model: Path, log: Path) -> Iterator[str]:
    """Serve a model directory while the context lasts; gives the server's URL once it is ready.

    Raises:
        RankliftError: when the predictor ends, or is not ready within a minute.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with private_log(log) as output:
        process = subprocess.Popen(predictor_command(model, port), stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_until_ready(process, url, log)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=60)


def free_port() -> int:
    """Return a TCP port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    give_up = time.monotonic() + _READY_WITHIN
    while not is_ready(url):
        if process.poll() is not None:
            raise RankliftError(
                f"The predictor ended with status {process.returncode} before it was ready; read {log}."
            )
        if time.monotonic() > give_up:
            raise RankliftError(f"The predictor was not ready within {_READY_WITHIN:.0f} s; read {log}.")
        time.sleep(0.05)
