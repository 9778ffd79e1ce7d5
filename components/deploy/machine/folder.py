"""What this machine serves: the versions that were fetched, the link to the one in service, and who serves it.

serving/V3/            a version, whole and verified
serving/indexes/V1/    an index version, likewise
serving/V3.index       a link to the index that V3 is searched with, where it has one
serving/current        a link to one of them, moved atomically
serving/proven         the name of the last version that answered its smoke query
serving/predictor.json the process that serves it, when one does
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar, NamedTuple

from pydantic import Field

from components.errors import DataError, StoreError
from components.machine.settings import serving_url
from components.model.served import INDEX_SUFFIX
from components.records.document import Document
from components.registry.champion import Champion
from components.registry.version import is_version_name, sha256_of

PREDICTOR = "predictor.json"


class PredictorAddress(NamedTuple):
    """Where a predictor answers."""

    url: str


class RunningPredictor(Document):
    """``serving/predictor.json``: the predictor that `ranklift serve` started on this machine."""

    noun: ClassVar[str] = "record of a running predictor"
    remedy: ClassVar[str] = "remove it, and start the predictor with `ranklift serve`"

    pid: int
    started: str  #: the process's start time as the kernel tells it: a process id alone is used again
    url: str = Field(pattern=r"^http://(127\.0\.0\.1|localhost|\[::1\]):\d{1,5}$")


def serving_directory(home: Path) -> Path:
    """Where the versions that this machine serves lie."""
    return home / "serving"


def current_link(home: Path) -> Path:
    """Return the link to the version in service."""
    return serving_directory(home) / "current"


def current_version(home: Path) -> str | None:
    """Return the name of the version in service, such as "V3"; None when there is none."""
    link = current_link(home)
    return link.readlink().name if link.is_symlink() and link.exists() else None


def point_current_at(home: Path, version: str | None) -> None:
    """Move the link in one step: whoever opens it finds the old version or the new one, never none."""
    link = current_link(home)
    if version is None:
        link.unlink(missing_ok=True)
        return
    _link(link, version)


def index_directory(home: Path, index: str) -> Path:
    """Where an index version lies that this machine searches."""
    return serving_directory(home) / "indexes" / index


def index_of(home: Path, version: str) -> str | None:
    """Return the index that a version on this machine is searched with; None for none."""
    link = serving_directory(home) / f"{version}{INDEX_SUFFIX}"
    return link.readlink().name if link.is_symlink() else None


def point_index_at(home: Path, version: str, index: str | None) -> None:
    """Say in one step with which index a version is searched."""
    link = serving_directory(home) / f"{version}{INDEX_SUFFIX}"
    if index is None:
        link.unlink(missing_ok=True)
    else:
        _link(link, f"indexes/{index}")


def last_proven(home: Path) -> str | None:
    """Return the last version that was deployed and answered, if it is still there; else the link's version."""
    proven = serving_directory(home) / "proven"
    if proven.is_file():
        name = proven.read_text(encoding="ascii", errors="replace").strip()
        if is_version_name(name) and (serving_directory(home) / name).is_dir():
            return name
    return current_version(home)


def record_proven(home: Path, version: str) -> None:
    """Remember that a version was deployed and answered."""
    _write(serving_directory(home) / "proven", version)


def check_history(home: Path, champion: Champion | None, place: str) -> None:
    """Raise a StoreError when the champion's history does not contain what this machine saw of it before.

    Whoever may write the bucket can write a new history that is consistent in itself, but not one with the old hash.
    """
    seen = _seen(home, place)
    if seen.is_file() and (champion is None or not champion.holds(seen.read_text(encoding="ascii").strip())):
        raise StoreError(
            f"The champion's history in {place} was rewritten since this machine last deployed from it; run "
            f"`ranklift verify`, and remove {seen} when you replaced the bucket yourself."
        )


def record_history(home: Path, champion: Champion | None, place: str) -> None:
    """Remember the champion's history by its last hash."""
    if champion is not None:
        _write(_seen(home, place), champion.head)


def _seen(home: Path, place: str) -> Path:
    return serving_directory(home) / f"history-{sha256_of(place.encode('utf-8'))[:16]}"


@contextmanager
def one_deploy_at_a_time(home: Path) -> Iterator[None]:
    """Wait for another deploy on this machine to end; the kernel frees the lock of a killed process."""
    serving_directory(home).mkdir(parents=True, exist_ok=True)
    with (serving_directory(home) / "deploy.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def record_predictor(home: Path, pid: int, url: str) -> None:
    """Tell `deploy` which process serves the link, and where."""
    record = serving_directory(home) / PREDICTOR
    record.parent.mkdir(parents=True, exist_ok=True)
    fresh = record.with_name(f".{PREDICTOR}.{secrets.token_hex(4)}")
    RunningPredictor(pid=pid, started=_started(pid), url=url).write(fresh)
    fresh.replace(record)


def running_predictor(home: Path) -> PredictorAddress | None:
    """Return the predictor that serves the link; None when none is named or recorded, or its process has ended."""
    if url := serving_url():
        return PredictorAddress(url)
    path = serving_directory(home) / PREDICTOR
    with suppress(DataError):
        record = RunningPredictor.read(path)
        if record.started and _started(record.pid) == record.started:
            return PredictorAddress(record.url)
    return None


def _link(link: Path, target: str) -> None:
    fresh = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
    fresh.symlink_to(target)
    fresh.replace(link)


def _write(path: Path, line: str) -> None:
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fresh.write_text(line + "\n", encoding="ascii")
    fresh.replace(path)


def _started(pid: int) -> str:
    """Return the start time of a live process; empty when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return _alive(pid) if not Path("/proc/self/stat").exists() else ""
    return "" if fields[0] == "Z" else fields[19]


def _alive(pid: int) -> str:
    # Without /proc (macOS) a process id is all there is to tell a process by.
    try:
        os.kill(pid, 0)
    except OSError:
        return ""
    return "alive"
