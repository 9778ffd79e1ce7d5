"""`kubectl` as the cluster tests use it: every call bounded in time, every failure with what kubectl printed."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tests.cluster.forward import Forward, KubectlError

Document = dict[str, Any]
_T = TypeVar("_T")


class Kubectl:
    """The cluster that KUBECONFIG names."""

    def __init__(self) -> None:
        found = shutil.which("kubectl")
        if found is None:
            raise KubectlError("There is no kubectl on the PATH: install it, or run `make kubectl`.")
        self.program = found

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
        """Run a command and return what it printed.

        Raises:
            KubectlError: when it fails or takes longer than `timeout` seconds.
        """
        result = self.attempt(*arguments, stdin=stdin, timeout=timeout)
        if result.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {(result.stderr or result.stdout).strip()}")
        return result.stdout

    def attempt(
        self, *arguments: str, stdin: str | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command that may fail."""
        return subprocess.run(
            [self.program, *arguments], input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )

    def json(self, *arguments: str) -> Document:
        """What `kubectl … -o json` gives."""
        found: Document = json.loads(self(*arguments, "-o", "json"))
        return found

    def items(self, kind: str, namespace: str, labels: str = "") -> list[Document]:
        """The objects of a kind in a namespace."""
        found: list[Document] = self.json("get", kind, "-n", namespace, "-l", labels)["items"]
        return found

    def apply(self, document: Document, *arguments: str) -> str:
        """Apply one document on the server's side."""
        how = ("--server-side", "--force-conflicts", "--field-manager=ranklift-tests")
        return self("apply", *how, *arguments, "-f", "-", stdin=json.dumps(document))

    @contextmanager
    def forward(self, namespace: str, target: str, port: int) -> Iterator[int]:
        """Forward a port of this machine to a pod or Service; yields the port of this machine."""
        command = [self.program, "port-forward", "-n", namespace, target, "--address", "127.0.0.1"]
        forward = Forward(command, port)
        try:
            yield forward.local
        finally:
            forward.stop()


def until(true: Callable[[], _T], within: float, what: str, pause: float = 1.0) -> _T:
    """Ask again until the answer is truthy, and return it.

    Raises:
        AssertionError: when that takes longer than `within` seconds; it ends with the last answer.
    """
    end = time.monotonic() + within
    while True:
        answer = true()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {within:.0f} s; the last answer was {answer!r}.")
        time.sleep(pause)
