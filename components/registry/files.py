"""The files of a version: which names and kinds there may be, and how each is hashed."""

import re
import unicodedata
from pathlib import Path, PurePosixPath
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from components.errors import DataError
from components.machine.digest import file_sha256, tree_sha256

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

VERSION = "version.json"  #: the manifest; written last, so that a version without one does not exist
CLAIM = "claim.json"  #: takes the number
TOMBSTONE = "pruned.json"  #: the version was removed; its number stays taken
CARD = "README.md"  #: the model card
_OWN = {VERSION, CLAIM, TOMBSTONE, CARD}

# All that a dataset, a model or an index consists of. Pickles and code are not among it: nothing here can run when it
# is loaded.
_HARMLESS = {
    ".bin", ".csv", ".html", ".json", ".jsonl", ".md", ".model", ".parquet", ".png", ".safetensors", ".svg", ".tsv",
    ".txt", ".usearch", ".xml", ".yaml", ".yml",
}  # fmt: skip
_HARMLESS_NAMES = {"LICENSE", "NOTICE"}
_PICKLE = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


class FileEntry(BaseModel):
    """One file of a version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Sha256
    size: int = Field(ge=0)  #: bytes

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the entry of a file as it is now."""
        return cls(sha256=file_sha256(path), size=path.stat().st_size)


def content_digest(files: dict[str, FileEntry]) -> str:
    """One digest for the names and contents of a version's files."""
    return tree_sha256({name: entry.sha256 for name, entry in files.items()})


def check_names(names: dict[str, FileEntry]) -> None:
    """Raise a ValueError unless every name is a harmless file strictly below the folder that it will be written to."""
    folded: dict[str, str] = {}
    for name in names:
        _check_name(name)
        same = folded.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if same != name:
            raise ValueError(f"{name!r} and {same!r} are one file on some file systems")
        if any(str(parent) in names for parent in PurePosixPath(name).parents):
            raise ValueError(f"{name!r} lies below a file")


def _check_name(name: str) -> None:
    parts = name.split("/")
    if (
        not name
        or len(name) > 512
        or any(part in {"", ".", ".."} or len(part.encode("utf-8", "replace")) > 255 for part in parts)
        or any(part != part.strip() or part.endswith(".") for part in parts)
        or re.search(r'[\x00-\x1f\x7f\\:*?"<>|\ud800-\udfff]', name)
    ):
        raise ValueError(f"{name!r} is not a plain relative path such as 1_Pooling/config.json")
    if name in _OWN:
        raise ValueError(f"{name!r} is reserved for the registry")
    if PurePosixPath(name).suffix.lower() not in _HARMLESS and parts[-1] not in _HARMLESS_NAMES:
        raise ValueError(f"{name!r} is not a kind of file that a version may hold (it may hold {_kinds()})")


def _kinds() -> str:
    return ", ".join(sorted(suffix.removeprefix(".") for suffix in _HARMLESS))


def inventory(directory: Path) -> dict[str, FileEntry]:
    """Return the files of a directory that is to become a version; hidden files and the registry's own are left out.

    Raises:
        DataError: when it holds a link, a file that can run code when it is loaded, or a name that is not portable.
    """
    if not directory.is_dir():
        raise DataError(f"There is no directory {directory} to publish.")
    files: dict[str, FileEntry] = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink():
            raise DataError(f"{path} is a link, and a version holds only files; put the file itself there.")
        if name in _OWN or any(part.startswith(".") for part in name.split("/")) or path.is_dir():
            continue
        if not path.is_file():
            raise DataError(f"{path} is not a regular file; remove it.")
        refuse_pickle(path)
        files[name] = FileEntry.of(path)
    try:
        check_names(files)
    except ValueError as error:
        raise DataError(f"{directory} cannot be published: {error}; remove or rename that file.") from error
    if not files:
        raise DataError(f"{directory} is empty; there is nothing to publish.")
    return files


def refuse_pickle(path: Path) -> None:
    """Raise a DataError when a file is a pickle or an archive of pickles, whatever its name says."""
    if path.suffix.lower() != ".bin":
        return
    with path.open("rb") as stream:
        start = stream.read(4)
    if start.startswith(_PICKLE):
        raise DataError(
            f"{path} is a pickle, which can run code when it is loaded; save the model as safetensors and remove it."
        )
