"""An OpenSearch server that the environment names, which a test may kill and start again.

No package brings one, so it is the user's own: OPENSEARCH_COMMAND starts it in the foreground, such as
`/opt/opensearch/bin/opensearch`, and it answers at OPENSEARCH_URL, such as http://127.0.0.1:9200. Where it asks for a
login, the URL names an administrator, such as https://admin@localhost:9200, with the password in OPENSEARCH_PASSWORD
and, for TLS, the authority's certificate in SSL_CERT_FILE. Then ranklift gets a user with the role that the
documentation recommends, and nothing more.
"""

import os
import secrets
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from opensearchpy import OpenSearch, OpenSearchException

from components.index.sinks.opensearch_access import Access

_WITHIN = 180.0
_USER = "ranklift_tests"
_SECURITY = "/_plugins/_security/api"
_DOCUMENTED = Path(__file__).parents[2] / "docs" / "search.md"


class OpenSearchServer:
    """A server that starts in a new session, so that one signal ends its script and its virtual machine."""

    def __init__(self, url: str, password: str, command: str, log: Path) -> None:
        parts = urlsplit(url)
        self._scheme, self.address = parts.scheme, parts.netloc.rpartition("@")[2]
        self.has_login = bool(parts.username)
        self.password = ""
        self.admin: OpenSearch = Access(
            f"{self._scheme}://{self.address}", unquote(parts.username or ""), password
        ).client()
        self._command = shlex.split(command)
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """What clients connect to, as a sink's URI names it."""
        login = f"{_USER}:{self.password}@" if self.has_login else ""
        return f"opensearch+{self._scheme}://{login}{self.address}"

    def admit(self, name: str, *, without: str = "") -> None:
        """Let ranklift's user do with the indices of a name what is documented, but for one permission."""
        if self.has_login:
            self._security("PUT", f"/roles/{_USER}", documented_role(name, without))

    def change_password(self) -> str:
        """Give ranklift's user another password, and return the former one."""
        former, self.password = self.password, secrets.token_urlsafe(24)
        self._security("PUT", f"/internalusers/{_USER}", {"password": self.password})
        return former

    def _security(self, method: str, path: str, body: object = None) -> None:
        self.admin.transport.perform_request(method, _SECURITY + path, body=body)

    def make_user(self) -> None:
        """Make ranklift's user, who may do nothing yet."""
        self.change_password()
        self._security("PUT", f"/roles/{_USER}", {"cluster_permissions": []})
        self._security("PUT", f"/rolesmapping/{_USER}", {"users": [_USER]})

    def remove_user(self) -> None:
        """Remove the user and the role, as the server is not the tests'."""
        for kind in ("rolesmapping", "roles", "internalusers"):
            self._security("DELETE", f"/{kind}/{_USER}")

    def start(self) -> None:
        """Start it, and wait until it answers for the indices that it has."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + _WITHIN
        while not self.answers():
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

    def answers(self) -> bool:
        """Whether it answers, with the indices that it has."""
        try:
            self.admin.cluster.health(params={"wait_for_status": "yellow"})
        except OpenSearchException:
            return False
        return True


def documented_role(name: str, without: str = "") -> dict[str, object]:
    """Return the role that the documentation recommends, for a name, but for one permission or pattern."""
    blocks = _DOCUMENTED.read_text(encoding="utf-8").split("```yaml\n")[1:]
    (block,) = (block.partition("```")[0] for block in blocks if "cluster_permissions" in block)
    lines = [line for line in block.splitlines() if line.strip() != f"- {without}"]
    (role,) = yaml.safe_load("\n".join(lines).replace("passages", name)).values()
    return role


@contextmanager
def opensearch(folder: Path) -> Iterator[OpenSearchServer]:
    """A running server; without one named the test fails."""
    url, command = os.environ.get("OPENSEARCH_URL"), os.environ.get("OPENSEARCH_COMMAND")
    if not url or not command:
        pytest.fail("OPENSEARCH_COMMAND must start an OpenSearch server, and OPENSEARCH_URL say where it answers.")
    server = OpenSearchServer(url.rstrip("/"), os.environ.get("OPENSEARCH_PASSWORD", ""), command, folder / "log")
    if server.answers():
        pytest.fail(f"OPENSEARCH_URL={url} answers already; the tests kill their server, so stop the other one.")
    try:
        server.start()
        if server.has_login:
            server.make_user()
        yield server
        if server.has_login and server.process.poll() is None:
            server.remove_user()
    finally:
        server.stop()
