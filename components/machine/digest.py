"""Content digests: what makes "the same data" and "the same model" a fact and not a hope."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from components.errors import StoreError

_BLOCK = 1 << 20


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def tree_sha256(files: dict[str, str]) -> str:
    """One digest for a set of files, from ``{relative posix path: sha256}``; the order of the dict does not matter."""
    return records_sha256(f"{name}\0{files[name]}" for name in sorted(files))


def records_sha256(records: Iterable[str]) -> str:
    """One digest for a sequence of texts; length-prefixed, so that moving a boundary changes the digest."""
    digest = hashlib.sha256()
    for record in records:
        data = record.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def directory_files(directory: Path) -> dict[str, str]:
    """``{relative posix path: sha256}`` of every regular file below a directory."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): file_sha256(path) for path in files}


def check_file(path: Path, sha256: str, where: str) -> None:
    """Raise a StoreError unless the file has this SHA-256."""
    found = file_sha256(path)
    if found != sha256:
        raise StoreError(
            f"{where} is damaged: its SHA-256 is {found[:12]}… where {sha256[:12]}… was recorded; "
            "run `ranklift verify`, and restore the version from a copy."
        )
