"""What a TrainJob's nodes and the stage that submits it hand each other, in the object store.

training/<digest>/inputs/…       the data files that a training reads, manifest.json, a base model that is a folder
training/<digest>/inputs.json    what of it there is, written last
training/<digest>/model/…        what the first node made
training/<digest>/model.json     what of it there is, written last
training/<digest>/failure-1.json why node 1 gave up
"""

from pathlib import Path
from typing import ClassVar

from pydantic import field_validator

from components.errors import DataError, RankliftError, StoreError
from components.object_store.client import ObjectStore
from components.object_store.transfer import download, upload
from components.records.document import Document
from components.registry.files import FileEntry, check_names, inventory, refuse_pickle
from components.train.options import TrainOptions
from components.train.processes.job import Ending

PLACE = "training"  #: in the bucket
DATASET, BASE_MODEL = "dataset", "base_model"  #: folders among the inputs
_INPUTS, _MODEL, _FAILURE = "inputs", "model", "failure-"


class Parcel(Document):
    """The files of a folder in the store, each with its SHA-256 and size."""

    noun: ClassVar[str] = "list of files that were handed over"
    remedy: ClassVar[str] = "run the training again"

    files: dict[str, FileEntry]
    options: TrainOptions | None = None  #: how to train, with the inputs

    @field_validator("files")
    @classmethod
    def _safe(cls, value: dict[str, FileEntry]) -> dict[str, FileEntry]:
        check_names(value)
        return value


class Handover:
    """One training's folder in the store.

    Args:
        store: where it is.
        digest: of the training's inputs; its first characters name the folder.
    """

    def __init__(self, store: ObjectStore, digest: str) -> None:
        self.store = store
        self.place = f"{PLACE}/{digest}"

    def send_inputs(self, files: dict[str, Path], options: TrainOptions) -> None:
        """Put the inputs there; what is there already is not sent again."""
        entries = {name: FileEntry.of(path) for name, path in files.items()}
        self._send(_INPUTS, files, Parcel(files=entries, options=options))

    def receive_inputs(self, folder: Path) -> TrainOptions:
        """Fetch the inputs into a folder, whole and verified."""
        parcel = self._receive(_INPUTS, folder)
        if parcel.options is None:
            raise StoreError(f"{self._where(_INPUTS)} does not say how to train; run the training again.")
        return parcel.options

    def send_model(self, folder: Path) -> None:
        """Put a trained model there."""
        entries = inventory(folder)
        self._send(_MODEL, {name: folder / name for name in entries}, Parcel(files=entries))

    def has_model(self) -> bool:
        """Whether a whole model is there."""
        return self.store.stat(self._where(_MODEL)) is not None

    def receive_model(self, folder: Path) -> None:
        """Fetch the model into a folder, whole and verified; a pickle is refused.

        Raises:
            StoreError: when there is none, or it is damaged.
        """
        parcel = self._receive(_MODEL, folder)
        for name in parcel.files:
            try:
                refuse_pickle(folder / name)
            except DataError as error:
                raise StoreError(str(error)) from error

    def report_failure(self, node: int, error: RankliftError) -> None:
        """Say why a node gave up."""
        self.store.put(f"{self.place}/{_FAILURE}{node}.json", Ending.of(error).to_json().encode("utf-8"))

    def failures(self) -> list[RankliftError]:
        """Why nodes gave up; what a worker itself said stands before what others saw of it."""
        found = []
        for item in self.store.list(f"{self.place}/{_FAILURE}"):
            blob = self.store.find(item.key)
            if blob is not None:
                found.append(Ending.parse(blob.content, item.key).error())
        return sorted(found, key=lambda error: type(error) is RankliftError)

    def clear_failures(self) -> None:
        """Forget what an attempt of before said."""
        for item in self.store.list(f"{self.place}/{_FAILURE}"):
            self.store.delete(item.key)

    def remove(self) -> None:
        """Remove all of it; the lists of files first, since they say that the files are there."""
        for item in sorted(self.store.list(f"{self.place}/"), key=lambda item: item.key.count("/")):
            self.store.delete(item.key)

    def _where(self, part: str) -> str:
        return f"{self.place}/{part}.json"

    def _send(self, part: str, files: dict[str, Path], parcel: Parcel) -> None:
        for name, path in files.items():
            upload(self.store, f"{self.place}/{part}/{name}", path, parcel.files[name].sha256)
        self.store.put(self._where(part), parcel.to_json().encode("utf-8"))

    def _receive(self, part: str, folder: Path) -> Parcel:
        where = self._where(part)
        try:
            parcel = Parcel.parse(self.store.get(where).content, where)
        except DataError as error:
            raise StoreError(str(error)) from error
        for name, entry in parcel.files.items():
            download(self.store, f"{self.place}/{part}/{name}", folder / name, entry.sha256, entry.size)
        return parcel
