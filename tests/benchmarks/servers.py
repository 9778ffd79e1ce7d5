"""Servers on this machine that a benchmark starts, reads and stops."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import NamedTuple

_START = 180.0  #: seconds that a server may take until it is healthy


class Server(NamedTuple):
    """A process that serves."""

    pid: int
    start_seconds: float

    def megabytes(self) -> float:
        """Resident memory."""
        fields = Path(f"/proc/{self.pid}/status").read_text().split("VmRSS:")[1].split()
        return round(int(fields[0]) / 1024, 1)

    def cpu_seconds(self) -> float:
        """CPU time that it has used."""
        return _cpu_seconds(Path(f"/proc/{self.pid}/stat"))

    def thread_seconds(self) -> dict[str, float]:
        """CPU time of each of its threads, by the thread's id."""
        return {path.parent.name: _cpu_seconds(path) for path in Path(f"/proc/{self.pid}/task").glob("*/stat")}


@contextmanager
def server(
    name: str, command: list[str], health: str, log: Path, folder: Path | None = None, **environment: str
) -> Iterator[Server]:
    """A server process that answers its health check; it is stopped at the end, and at SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))
    begun = time.perf_counter()
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env={**os.environ, **environment}, cwd=folder)
    try:
        while not _answers(health):
            if process.poll() is not None or time.perf_counter() - begun > _START:
                sys.exit(f"{name} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.02)
        yield Server(process.pid, round(time.perf_counter() - begun, 2))
    finally:
        process.terminate()
        process.wait(30)


def predictor(exported: str, port: int, *flags: str) -> list[str]:
    """The command that serves what `ranklift export` made, over REST alone."""
    command = [sys.executable, "-m", "predictor", "--host", "127.0.0.1", "--model_dir", exported]
    return [*command, "--http_port", str(port), "--enable_grpc", "false", *flags]


def fetch(url: str) -> HTTPResponse:
    """The answer of a server on this machine, not read yet."""
    address, _, path = url.removeprefix("http://").partition("/")
    connection = HTTPConnection(address, timeout=10)
    connection.request("GET", f"/{path}")
    return connection.getresponse()


def metric(port: int, name: str) -> float:
    """A sum over all labels of one of the predictor's metrics."""
    lines = fetch(f"http://127.0.0.1:{port}/metrics").read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


def _answers(url: str) -> bool:
    try:
        return fetch(url).status == 200
    except OSError:
        return False


def _cpu_seconds(stat: Path) -> float:
    fields = stat.read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
