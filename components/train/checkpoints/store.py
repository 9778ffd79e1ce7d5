"""A training's checkpoints in the object store, so that a pod on another node carries on from the last of them.

    <prefix>/training/<digest of the inputs>/checkpoint-40/<digest of its content>/model.safetensors, …, checkpoint.json

``checkpoint.json`` is written last: a checkpoint without it does not exist. The digest of the content is in the name:
two processes that train the same at the same time never mix their files.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field, StringConstraints, ValidationError, field_validator

from components.errors import DataError, StoreError
from components.machine.digest import tree_sha256
from components.object_store.client import ObjectInfo, ObjectStore, ObjectStoreSettings
from components.object_store.folder import bucket_and_prefix
from components.object_store.transfer import abort_upload, download, unfinished_uploads, upload
from components.records.document import Document
from components.registry.files import FileEntry
from components.train.checkpoints.settings import CheckpointSettings

MANIFEST = "checkpoint.json"
_ABANDONED = timedelta(days=7)
_ATTEMPTS = 3  # of each request: a checkpoint is a convenience, and nobody shall wait long for a store that is down
_NAME = re.compile(r"(?:\w[\w.-]{0,200}/){0,4}\w[\w.-]{0,200}", re.ASCII)
_CHECKPOINT = re.compile(r"checkpoint-(\d{1,12})/([0-9a-f]{16})/(.+)")
#: The trainer's arguments, a pickle of any kind: nobody reads it again. All else is read as tensors, or is text.
_LEFT_OUT = {"training_args.bin"}


class AbandonedError(Exception):
    """An upload was cancelled because nobody needs it any more."""


class StoredCheckpoint(NamedTuple):
    """One checkpoint in the store."""

    step: int
    content: str  #: the digest of its content, 16 hexadecimal digits

    @property
    def name(self) -> str:
        """Its place below the training's."""
        return f"checkpoint-{self.step}/{self.content}"


class CheckpointManifest(Document):
    """``checkpoint.json``: every file of a checkpoint, and the checkpoint that was the best when it was saved."""

    noun: ClassVar[str] = "manifest of a checkpoint"
    remedy: ClassVar[str] = "training goes on without it"

    format: Literal[1] = 1
    step: int = Field(ge=1)
    best: Annotated[str, StringConstraints(pattern=r"^(checkpoint-\d{1,12}/[0-9a-f]{16})?$")] = ""  #: empty: none yet
    files: dict[str, FileEntry]  #: by relative posix path

    @field_validator("files")
    @classmethod
    def _safe(cls, value: dict[str, FileEntry]) -> dict[str, FileEntry]:
        wrong = next((name for name in value if not _NAME.fullmatch(name)), None)
        if wrong is not None:
            raise ValueError(f"{wrong!r} is not a plain relative path such as 1_Pooling/config.json")
        return value


class CheckpointPlace(NamedTuple):
    """A part of a bucket in which trainings keep their checkpoints."""

    store: ObjectStore
    root: str  #: of the keys, such as "training/"


def checkpoint_setting() -> str:
    """Return what the environment says of checkpoints: ``off``, ``store`` or a place.

    Raises:
        StoreError: when ``RANKLIFT_CHECKPOINTS`` cannot be used.
    """
    try:
        return CheckpointSettings().checkpoints
    except ValidationError as error:
        raise StoreError(
            f"RANKLIFT_CHECKPOINTS={error.errors()[0]['input']} is invalid; give store, off, or a place such as "
            "s3://ranklift/team-a."
        ) from None


def checkpoint_place() -> CheckpointPlace | None:
    """Where the environment says that checkpoints are kept; None when on this machine alone. Opens no connection.

    Raises:
        StoreError: when ``RANKLIFT_CHECKPOINTS`` cannot be used, or no object store is configured for it.
    """
    chosen = checkpoint_setting()
    if chosen == "off":
        return None
    settings = ObjectStoreSettings.from_environment()
    if settings is None:
        raise StoreError(
            f"RANKLIFT_CHECKPOINTS={chosen}, and no object store is configured; set RANKLIFT_S3_ENDPOINT (for example "
            "http://127.0.0.1:9000), AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or RANKLIFT_CHECKPOINTS=off."
        )
    bucket, prefix = (settings.bucket, "") if chosen == "store" else bucket_and_prefix(chosen)
    changed = {"bucket": bucket, "attempts": min(settings.attempts, _ATTEMPTS), "patience": 0}
    root = f"{prefix.strip('/')}/training/".lstrip("/")
    return CheckpointPlace(ObjectStore(settings.model_copy(update=changed)), root)


class StoredTraining:
    """The checkpoints of one training in the store; every method raises a StoreError when the store fails."""

    def __init__(self, place: CheckpointPlace, digest: str) -> None:
        self.store = place.store
        self._root = place.root
        self._folder = f"{place.root}{digest}/"

    def __str__(self) -> str:
        settings = self.store.settings
        return f"s3://{settings.bucket}/{self._folder.rstrip('/')} at {settings.endpoint}"

    def whole(self) -> list[StoredCheckpoint]:
        """Those that were uploaded to their end, the newest first."""
        self.store.ensure_bucket()
        found: list[tuple[int, datetime, StoredCheckpoint]] = []
        for item in self.store.list(self._folder):
            parts = _CHECKPOINT.fullmatch(item.key.removeprefix(self._folder))
            if parts is not None and parts[3] == MANIFEST:
                checkpoint = StoredCheckpoint(int(parts[1]), parts[2])
                found.append((checkpoint.step, item.modified, checkpoint))
        return [checkpoint for *_, checkpoint in sorted(found, reverse=True)]

    def manifest(self, checkpoint: StoredCheckpoint) -> CheckpointManifest:
        """Return what a checkpoint consists of."""
        key = f"{self._folder}{checkpoint.name}/{MANIFEST}"
        try:
            manifest = CheckpointManifest.parse(self.store.get(key).content, f"{key} in {self.store.settings.bucket}")
        except DataError as error:
            raise StoreError(str(error)) from error
        if (manifest.step, _content_of(manifest.files)) != checkpoint:
            raise StoreError(f"{key} is damaged: it is that of another checkpoint; training goes on without it.")
        return manifest

    def download(self, checkpoint: StoredCheckpoint, directory: Path) -> CheckpointManifest:
        """Fetch a checkpoint into a folder; every file has the SHA-256 that was recorded, or the first is named."""
        manifest = self.manifest(checkpoint)
        for name, entry in manifest.files.items():
            key = f"{self._folder}{checkpoint.name}/{name}"
            download(self.store, key, directory / name, entry.sha256, entry.size)
        return manifest

    def upload(self, directory: Path, step: int, best: str, is_needed: Callable[[], bool]) -> StoredCheckpoint:
        """Copy a checkpoint into the store, its manifest last.

        Args:
            directory: its folder, which must not change meanwhile.
            step: after which it was saved.
            best: the name of the stored checkpoint that was the best then; empty when there was none, ``self`` when it
                is this one.
            is_needed: asked before each file.

        Raises:
            AbandonedError: when it is not needed any more.
        """
        files = {
            path.relative_to(directory).as_posix(): FileEntry.of(path)
            for path in sorted(directory.rglob("*"))
            if path.is_file() and path.name not in _LEFT_OUT
        }
        checkpoint = StoredCheckpoint(step, _content_of(files))
        for name, entry in files.items():
            if not is_needed():
                raise AbandonedError
            upload(self.store, f"{self._folder}{checkpoint.name}/{name}", directory / name, entry.sha256)
        named = checkpoint.name if best == "self" else best
        manifest = CheckpointManifest(step=step, best=named, files=files)
        self.store.put(f"{self._folder}{checkpoint.name}/{MANIFEST}", f"{manifest.to_json()}\n".encode())
        return checkpoint

    def keep_only(self, newest: StoredCheckpoint, best: str) -> None:
        """Remove what is older than the newest, but for the best; parts of uploads that broke off included."""
        stay = (f"{self._folder}{newest.name}/", f"{self._folder}{best or newest.name}/")
        self._remove(item for item in self.store.list(self._folder) if self._is_older(item.key, newest.step, stay))
        for unfinished in unfinished_uploads(self.store, self._folder):
            if self._is_older(unfinished.key, newest.step, stay):
                abort_upload(self.store, unfinished)

    def remove(self) -> None:
        """Remove all of this training."""
        self._remove(self.store.list(self._folder))
        for unfinished in unfinished_uploads(self.store, self._folder):
            abort_upload(self.store, unfinished)

    def remove_abandoned(self) -> None:
        """Remove other trainings that nobody carried on with for a week."""
        trainings: dict[str, list[ObjectInfo]] = {}
        for item in self.store.list(self._root):
            digest, _, name = item.key.removeprefix(self._root).partition("/")
            if _CHECKPOINT.fullmatch(name):  # a TrainJob's inputs lie there as well
                trainings.setdefault(digest, []).append(item)
        for digest, items in trainings.items():
            is_other = re.fullmatch("[0-9a-f]{16}", digest) and f"{self._root}{digest}/" != self._folder
            if is_other and datetime.now(UTC) - max(item.modified for item in items) > _ABANDONED:
                self._remove(items)

    def _is_older(self, key: str, step: int, stay: tuple[str, ...]) -> bool:
        parts = _CHECKPOINT.fullmatch(key.removeprefix(self._folder))
        return parts is not None and int(parts[1]) < step and not key.startswith(stay)

    def _remove(self, items: Iterable[ObjectInfo]) -> None:
        # Manifests first: what has none is no checkpoint, whenever this is interrupted.
        for item in sorted(items, key=lambda item: not item.key.endswith(f"/{MANIFEST}")):
            self.store.delete(item.key)


def _content_of(files: dict[str, FileEntry]) -> str:
    return tree_sha256({name: entry.sha256 for name, entry in files.items()})[:16]
