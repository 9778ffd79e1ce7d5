"""An OpenSearch server that the environment names, which a test may kill and start again.

No package brings one, so it is the user's own: OPENSEARCH_COMMAND starts it in the foreground, such as
`/opt/opensearch/bin/opensearch`, and it answers at OPENSEARCH_URL, such as http://127.0.0.1:9200.
"""

import os
import shlex
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_WITHIN = 180.0


class OpenSearchServer:
    """A server in a session of its own, so that its script and its virtual machine end together."""

    def __init__(self, url: str, command: str, log: Path) -> None:
        self.url = url
        self._command = shlex.split(command)
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """What clients connect to, as a sink's URI names it."""
        return f"opensearch+{self.url}"

    def start(self) -> None:
        """Start it, and wait until it answers for the indices that it has."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + _WITHIN
        while not self.answers("/_cluster/health?wait_for_status=yellow&timeout=30s"):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"OpenSearch did not start: {self._log.read_text()[-4000:]}")
            time.sleep(0.2)

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=_WITHIN)

    stop = kill

    def answers(self, path: str = "/") -> bool:
        """Whether a request has the answer 200."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=60):  # noqa: S310 - http, as the one who runs this says
                return True
        except OSError:
            return False


@contextmanager
def opensearch(folder: Path) -> Iterator[OpenSearchServer]:
    """A running server; without one named the test fails."""
    url, command = os.environ.get("OPENSEARCH_URL"), os.environ.get("OPENSEARCH_COMMAND")
    if not url or not command:
        pytest.fail("OPENSEARCH_COMMAND must start an OpenSearch server, and OPENSEARCH_URL say where it answers.")
    server = OpenSearchServer(url.rstrip("/"), command, folder / "log")
    if server.answers():
        pytest.fail(f"OPENSEARCH_URL={url} answers already; the tests kill their server, so stop the other one.")
    try:
        server.start()
        yield server
    finally:
        server.stop()
