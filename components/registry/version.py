"""A version in the registry: a directory that was written once, and the manifest that vouches for every byte of it."""

import hashlib
import re
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    StringConstraints,
    field_validator,
    model_serializer,
    model_validator,
)

from components.dataset.manifest import DatasetManifest
from components.errors import ModelError, RankliftError
from components.model.served import EncoderConfig, refuse_empty_files
from components.records.decision import Decision
from components.records.document import Document
from components.registry.files import FileEntry, Sha256, check_names, content_digest

Kind = Literal["dataset", "model", "index"]
VersionName = Annotated[str, StringConstraints(pattern=r"^V(0|[1-9][0-9]{0,8})$")]


_FOLDERS: dict[Kind, str] = {"dataset": "datasets", "model": "models", "index": "indexes"}


class Lineage(BaseModel):
    """What a version was made from, and by what."""

    model_config = ConfigDict(extra="forbid")

    dataset_version: str | None = None  #: such as "V2"; the dataset that a model was trained on
    dataset_digest: str | None = None
    model_version: str | None = None  #: that embedded an index
    model_digest: str | None = None
    base_model: str | None = None
    teacher: str | None = None  #: the cross-encoder whose scores were learned as well
    teacher_digest: str | None = None  #: of its files
    parent: str | None = None  #: the champion, such as "V3", that a model was judged against
    source: str | None = None  #: where a dataset's raw data came from
    code_version: str | None = None
    pipeline_run: str | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_not_set(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A predictor of an earlier release refuses fields that it does not know.
        return without_unset(write(self), "model_version", "model_digest", "teacher", "teacher_digest")


class Claim(Document):
    """``claim.json``: a number, taken by the content that will fill it; the same content writes the same bytes."""

    noun: ClassVar[str] = "claim of a version number"
    remedy: ClassVar[str] = "the number stays taken; `ranklift prune` removes what an interrupted run left"

    format: Literal[1] = 1
    content: Sha256


class VersionManifest(Document):
    """``version.json``: every file of a version with its SHA-256, where it came from, and why it was promoted."""

    noun: ClassVar[str] = "version manifest"
    remedy: ClassVar[str] = "run `ranklift verify`"

    format: Literal[1] = 1
    kind: Kind
    version: VersionName
    created: AwareDatetime
    digest: str  #: `EncoderConfig.digest`, `DatasetManifest.digest`, or the content digest of an index
    content: Sha256  #: over the names and hashes of all files
    claim: Sha256 | None = None  #: what took the number, where its content was not known yet: the plan of an index
    files: dict[str, FileEntry]  #: by relative posix path
    lineage: Lineage
    decision: Decision | None = None
    card: str = ""  #: the text of README.md

    @model_serializer(mode="wrap")
    def _without_what_is_not_set(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_unset(write(self), "claim")

    @field_validator("files")
    @classmethod
    def _safe(cls, value: dict[str, FileEntry]) -> dict[str, FileEntry]:
        check_names(value)
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if content_digest(self.files) != self.content:
            raise ValueError("the content digest does not belong to the list of files")
        return self

    @property
    def claimed(self) -> str:
        """What took the number: `claim.json` holds it."""
        return self.claim or self.content

    @property
    def number(self) -> int:
        """The number in the version's name."""
        return int(self.version[1:])

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files.values())

    def stored(self) -> bytes:
        """Return the bytes that are stored, and whose SHA-256 the champion carries."""
        return (self.to_json() + "\n").encode("utf-8")


def without_unset(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the fields of a document without those of these names that are None."""
    return {name: value for name, value in fields.items() if value is not None or name not in names}


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def digest_of(kind: Kind, directory: Path, files: dict[str, FileEntry]) -> str:
    """Return the digest that a directory declares, after checking what it declares about its own files.

    An index declares none: who publishes one has just read all of it to verify it, and its content is its digest.

    Raises:
        RankliftError: when the directory is not a dataset version or not an exported model, or is damaged.
    """
    if kind == "dataset":
        return DatasetManifest.of(directory).digest
    if kind == "index":
        return content_digest(files)
    refuse_empty_files({directory / name: entry.size for name, entry in files.items()})
    config = EncoderConfig.of(directory)
    for name, sha256 in config.files.items():
        if name not in files or files[name].sha256 != sha256:
            raise ModelError(f"{directory / name} is not the file in encoder.json; export the model again.")
    return config.digest


def code_version() -> str | None:
    """Return the version of ranklift that runs; None where it is not installed."""
    try:
        return metadata.version("ranklift")
    except metadata.PackageNotFoundError:
        return None


def is_version_name(name: str) -> bool:
    """Whether this is a version's name, such as "V3"."""
    return re.fullmatch(r"V(0|[1-9][0-9]{0,8})", name, re.ASCII) is not None


def check_version_name(version: str) -> str:
    """Return the name, when it is one such as "V3".

    Raises:
        RankliftError: when it is not.
    """
    if not is_version_name(version):
        raise RankliftError(f'{version!r} is not a version; versions are named like "V3".')
    return version


def key_of(kind: Kind, version: str, file: str) -> str:
    """Where a file of a version lies in the bucket."""
    return f"{folder_of(kind)}/{version}/{file}"


def folder_of(kind: Kind) -> str:
    """Where all versions of a kind lie in the bucket, without the slash at its end."""
    return _FOLDERS[kind]


def number_of(version: str) -> int:
    """Return the number in a version's name."""
    return int(version[1:])
