"""The hashes of what pip would install, from the lock; without one only torch and its packages of CUDA are accepted.

Run as a plain file in the builder: ``python3 locked.py report.json requirements.lock FOLDER`` reads the report of
``pip install --dry-run`` and writes ``locked.txt``, with hashes, and ``of_torch.txt``, without, into the folder.
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_PINNED = re.compile(r"(?P<name>[\w.-]+)==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=\S+")
#: What comes from the index of PyTorch that the builder chose, where its bytes differ from index to index.
_OF_TORCH = re.compile(r"torch|triton|nvidia-.+|cuda-.+")


class Wanted(NamedTuple):
    """Requirements of exact versions, one a line of a requirements file."""

    locked: list[str]  #: with the hashes of the lock
    of_torch: list[str]


def locked_hashes(lock: str) -> dict[tuple[str, str], list[str]]:
    """Return the hashes by normalised name and version."""
    found: dict[tuple[str, str], list[str]] = {}
    hashes: list[str] = []
    for line in lock.splitlines():
        if pinned := _PINNED.match(line):
            hashes = found.setdefault((normalised(pinned["name"]), pinned["version"]), [])
        hashes += _HASH.findall(line)
    return found


def normalised(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(installs: Iterable[tuple[str, str]], lock: str) -> Wanted:
    """Split what pip would install (name, version) into what the lock has hashes for and what belongs to torch.

    Raises:
        SystemExit: when the lock lacks a package, with what to do.
    """
    hashes = locked_hashes(lock)
    result = Wanted([], [])
    for given, version in installs:
        name = normalised(given)
        if known := hashes.get((name, version)):
            result.locked.append(" ".join([f"{name}=={version}", *known]))
        elif _OF_TORCH.fullmatch(name):
            result.of_torch.append(f"{name}=={version}")
        else:
            raise SystemExit(f"requirements.lock has no hash for {name} {version}; renew it with `make lock`.")
    return result


def _reported(report: Path) -> list[tuple[str, str]]:
    entries = json.loads(report.read_text(encoding="utf-8"))["install"]
    return [(entry["metadata"]["name"], entry["metadata"]["version"]) for entry in entries]


if __name__ == "__main__":
    report, lock, folder = (Path(argument) for argument in sys.argv[1:])
    found = wanted(_reported(report), lock.read_text(encoding="utf-8"))
    for name, lines in found._asdict().items():
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
