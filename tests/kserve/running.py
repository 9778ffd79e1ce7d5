"""A predictor as users run it: a process of its own, on free ports of this machine."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

START_LIMIT = 60.0


class RunningPredictor:
    """The process, where it listens, and its log."""

    def __init__(self, process: subprocess.Popen, log: Path) -> None:
        self.process = process
        self.log = log
        self.url = ""
        self.grpc = ""

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def wait_until_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            lines = [line for line in self.log_lines() if line["message"] == "ready"]
            if lines:
                self.url = f"http://{lines[0]['listening']['http']}"
                self.grpc = lines[0]["listening"].get("grpc", "")
            return bool(lines)

        wait_for(ready, START_LIMIT)

    def metric(self, name: str) -> float:
        """The sum of a metric's samples over all labels."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    def memory(self, field: str = "VmRSS") -> int:
        """Resident bytes, or with `VmHWM` the most that ever were."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {field}")

    def connect(self) -> socket.socket:
        """A TCP connection to the HTTP port."""
        host, port = self.url.removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)), 30)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(START_LIMIT)


def wait_for(condition, seconds: float = 30.0) -> None:
    """Until a condition holds; fails after some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{condition} did not come true within {seconds} s"
        time.sleep(0.02)


def command(model: Path, *flags: str, program: tuple[str, ...] = ("-m", "predictor")) -> list[str]:
    ports = ["--host", "127.0.0.1", "--http_port", "0", "--grpc_port", "0"]
    return [sys.executable, *program, "--model_dir", str(model), "--threads", "2", *ports, *flags]


@contextmanager
def running(
    model: Path,
    folder: Path,
    *flags: str,
    memory_limit: int | None = None,
    program: tuple[str, ...] = ("-m", "predictor"),
    **environment: str,
) -> Iterator[RunningPredictor]:
    """A predictor that is ready, and stopped at the end."""

    def limit_memory() -> None:
        if memory_limit is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (memory_limit, memory_limit))

    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "predictor.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            command(model, *flags, program=program),
            stdout=stream,
            stderr=stream,
            env={**os.environ, **environment},
            preexec_fn=limit_memory,  # noqa: PLW1509 - no thread of the tests holds a lock that it needs
        )
    predictor = RunningPredictor(process, log)
    try:
        predictor.wait_until_ready()
        yield predictor
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
