"""`kubectl port-forward` that stays: kubectl ends when the pod goes away, or merely resets a connection."""

import re
import subprocess
import threading
from typing import IO


class KubectlError(AssertionError):
    """A call that failed; its text is what kubectl printed."""


class Forward:
    """A port of this machine that leads to one of the cluster until it is stopped."""

    def __init__(self, command: list[str], port: int) -> None:
        self._command, self._port = command, port
        self._stopped = threading.Event()
        self._process, line = self._start("")
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        if found is None:
            self._process.wait(timeout=30)
            raise KubectlError(f"{' '.join(command)}: {line}{_output(self._process).read()}")
        self.local = int(found[1])
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def stop(self) -> None:
        """End it."""
        self._stopped.set()
        self._process.terminate()
        self._keeper.join(timeout=30)

    def _start(self, local: str) -> tuple[subprocess.Popen[str], str]:
        """Start kubectl; return it, and the first line that it prints."""
        command = [*self._command, f"{local}:{self._port}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return process, _output(process).readline()

    def _keep(self) -> None:
        """Read what kubectl prints, which would block it else, and start another on the same port when it ends."""
        while True:
            for _ in _output(self._process):
                continue
            self._process.wait()
            _output(self._process).close()
            if self._stopped.wait(0.3):
                return
            self._process, _ = self._start(str(self.local))
            if self._stopped.is_set():  # stop() may have ended the one before
                self._process.terminate()


def _output(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout
