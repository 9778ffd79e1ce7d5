"""The way that clients take: through the gateway, by the predictor's host name."""

import http.client
import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

QUESTION = {"query": "sort array", "documents": ["row column vector", "file model train"]}


class Answer(NamedTuple):
    """What one request of a load met."""

    seconds: float  #: since the load began
    status: int  #: 0 where no answer came
    version: str  #: of the model that answered
    fault: str = ""


@dataclass(frozen=True)
class Gateway:
    """The gateway's two ports on this machine, and the predictor's host."""

    http: int
    https: int
    host: str
    certificate: Path  #: of the gateway, as PEM

    def curl(self, path: str, *arguments: str, body: Any = None, scheme: str = "http") -> tuple[int, Any]:
        """Ask with curl, by the predictor's name; the status and the JSON document that came."""
        port = self.https if scheme == "https" else self.http
        command = [
            _curl(), "--silent", "--show-error", "--max-time", "20", "--cacert", str(self.certificate),
            "--connect-to", f"::127.0.0.1:{port}", "--write-out", "\n%{http_code}", *arguments,
        ]  # fmt: skip
        if body is not None:
            command += ["--header", "Content-Type: application/json", "--data", json.dumps(body)]
        found = subprocess.run([*command, f"{scheme}://{self.host}{path}"], capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stderr
        text, _, status = found.stdout.rpartition("\n")
        return int(status), _document(text)

    def version(self) -> str:
        """The version that answers one request now; empty when none does."""
        status, answer = self.curl("/find_similar", body=QUESTION)
        return str(answer["model_version"]) if status == 200 else ""

    @contextmanager
    def load(self, rate: float = 24.0, clients: int = 6) -> Iterator["Load"]:
        """Ask at a steady rate while the block runs."""
        load = Load(self, rate, clients)
        threads = [threading.Thread(target=load.ask, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield load
        finally:
            load.stopped.set()
            for thread in threads:
                thread.join()


@dataclass
class Load:
    """Requests at a steady rate, each answer kept."""

    gateway: Gateway
    rate: float  #: requests per second, of all clients together
    clients: int
    answers: list[Answer] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.monotonic)

    @property
    def failures(self) -> list[Answer]:
        """The requests that were not answered with 200."""
        return [answer for answer in self.answers if answer.status != 200]

    def versions(self, since: float = 0.0, until: float = float("inf")) -> Counter[str]:
        """How many answers each version gave, between two moments in seconds since the load began."""
        return Counter(answer.version for answer in self.answers if since <= answer.seconds <= until)

    def now(self) -> float:
        """Seconds since the load began."""
        return time.monotonic() - self.began

    def summary(self) -> str:
        """One line for the table of a run."""
        rate = len(self.answers) / max(self.now(), 1e-9)
        return f"{len(self.answers)} requests at {rate:.0f}/s, {len(self.failures)} failed, {dict(self.versions())}"

    def ask(self, number: int) -> None:
        """Ask from one connection until the load is stopped."""
        pause = self.clients / self.rate
        connection: http.client.HTTPConnection | None = None
        time.sleep(pause * number / self.clients)
        while not self.stopped.is_set():
            due = time.monotonic() + pause
            connection = connection or http.client.HTTPConnection("127.0.0.1", self.gateway.http, timeout=20)
            answer = self._ask(connection)
            if answer.status == 0:
                connection.close()
                connection = None
            self.answers.append(answer)
            self.stopped.wait(max(0.0, due - time.monotonic()))

    def _ask(self, connection: http.client.HTTPConnection) -> Answer:
        headers = {"Content-Type": "application/json", "Host": self.gateway.host}
        try:
            connection.request("POST", "/find_similar", json.dumps(QUESTION), headers)
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            return Answer(self.now(), 0, "", f"{type(error).__name__}: {error}")
        if response.status != 200:
            return Answer(self.now(), response.status, "", text[:200])
        return Answer(self.now(), 200, str(json.loads(text)["model_version"]))


def _curl() -> str:
    found = shutil.which("curl")
    assert found, "There is no curl on the PATH; install it."
    return found


def _document(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def write_certificate(pem: str) -> Path:
    """Keep a certificate where curl can read it."""
    path = Path(tempfile.mkdtemp(prefix="ranklift-tests-")) / "gateway.pem"
    path.write_text(pem, encoding="ascii")
    return path
