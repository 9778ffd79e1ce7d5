"""Runs on Kubeflow Pipelines, started as a person starts them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx


class Pipelines(NamedTuple):
    """Kubeflow Pipelines, reached from this machine."""

    endpoint: str
    settings: Path
    namespace: str

    def command(self, *arguments: str, inputs: Mapping[str, object]) -> list[str]:
        """The command line of `ranklift submit`."""
        given = [part for name, value in inputs.items() for part in ("--param", f"{name}={value}")]
        program = str(Path(sys.executable).with_name("ranklift"))
        place = ["--endpoint", self.endpoint, "--settings", str(self.settings), "--json"]
        return [program, "submit", *place, *given, *arguments]

    def submit(self, *arguments: str, inputs: Mapping[str, object]) -> subprocess.CompletedProcess[str]:
        """Run `ranklift submit` to its end."""
        command = self.command(*arguments, inputs=inputs)
        return subprocess.run(command, capture_output=True, text=True, timeout=1700, check=False)

    def start(self, *arguments: str, inputs: Mapping[str, object]) -> subprocess.Popen[str]:
        """Start `ranklift submit` and return at once."""
        command = self.command(*arguments, inputs=inputs)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)

    def stop(self, run: str) -> None:
        """Terminate a run; KFP refuses to where it is over, which is as well."""
        httpx.post(f"{self.endpoint}/apis/v2beta1/runs/{run}:terminate", timeout=30)

    def ask(self, path: str, method: str = "GET") -> Any:
        """What KFP's API answers."""
        response = httpx.request(method, f"{self.endpoint}/apis/v2beta1/{path}", timeout=30)
        response.raise_for_status()
        return response.json()
