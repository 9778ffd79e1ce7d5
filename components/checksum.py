"""A file is what was recorded, or it is not used."""

from pathlib import Path

from components.errors import StoreError
from components.machine.digest import file_sha256


def check_file(path: Path, sha256: str, where: str) -> None:
    """Raise a StoreError unless the file has this SHA-256."""
    found = file_sha256(path)
    if found != sha256:
        raise StoreError(
            f"{where} is damaged: its SHA-256 is {found[:12]}… where {sha256[:12]}… was recorded; "
            "run `ranklift verify`, and restore the version from a copy."
        )
