"""The embeddings of an evaluation set by one model, kept so that a champion is not encoded again on the next run."""

import json
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from components.errors import DataError
from components.evaluate.search import Block
from components.machine.cache import LIMIT_BYTES, make_room, mark_used
from components.machine.digest import file_sha256, records_sha256
from components.model.encoder import Embeddings
from components.model.served import EncoderConfig
from components.records.document import Document

_META = "encodings.json"
_CORPUS = "corpus.npy"
_QUERIES = "queries.npy"
_IDS = "ids.json"
_FILES = (_CORPUS, _QUERIES, _IDS)
_FORMAT = 1
_BLOCK = 16_384
_UNFINISHED = ".new-"
_ABANDONED_SECONDS = 24 * 3600


class Meta(Document):
    """``encodings.json``: what the embeddings beside it were made from, and the SHA-256 of each file."""

    noun: ClassVar[str] = "encodings cache entry"
    remedy: ClassVar[str] = "remove its folder"

    key: dict[str, Any]
    files: dict[str, str]
    texts_per_second: float


class Encodings:
    """Embeddings of all passages and judged queries of one evaluation set by one model, read from disk in blocks."""

    def __init__(self, directory: Path, meta: Meta) -> None:
        self.cached = True
        self.texts_per_second = meta.texts_per_second
        self.queries: Embeddings = np.load(directory / _QUERIES)
        ids = json.loads((directory / _IDS).read_bytes())
        self.query_ids: list[str] = ids["queries"]
        self._passage_ids: list[str] = ids["passages"]
        self._corpus: Embeddings = np.load(directory / _CORPUS, mmap_mode="r")

    def corpus(self) -> Iterator[Block]:
        """Yield the passages in blocks, in the order in which they were encoded."""
        for start in range(0, len(self._passage_ids), _BLOCK):
            rows = slice(start, start + _BLOCK)
            yield self._passage_ids[rows], np.asarray(self._corpus[rows])


class EncodingWriter:
    """Writes an entry while the corpus streams by; nothing is visible under its key before `finish`."""

    def __init__(self, scratch: Path, passages: int, dimension: int) -> None:
        self.directory = scratch
        self._ids: list[str] = []
        # Not a memory map: where the disk is full that ends the process, and a write raises OSError.
        self._stream = (scratch / _CORPUS).open("wb")
        header = {"descr": "<f4", "fortran_order": False, "shape": (passages, dimension)}
        np.lib.format.write_array_header_1_0(self._stream, header)

    def add(self, ids: Sequence[str], embeddings: Embeddings) -> None:
        """Append a block of the corpus."""
        self._ids.extend(ids)
        self._stream.write(np.ascontiguousarray(embeddings, dtype="<f4").data)

    def close(self) -> None:
        """Let go of the files."""
        self._stream.close()

    def finish(self, query_ids: Sequence[str], queries: Embeddings) -> None:
        """Write what belongs to the queries, and close."""
        self._stream.close()
        np.save(self.directory / _QUERIES, queries)
        ids = {"queries": list(query_ids), "passages": self._ids}
        (self.directory / _IDS).write_text(json.dumps(ids), encoding="utf-8")


class EncodingCache:
    """A folder of encodings by (model digest, dataset digest, encoder settings).

    A wrong hit is not possible short of a SHA-256 collision: the entry's name is the digest of all three and of the
    inference library's version, its own record of them is compared on reading, and so is the SHA-256 of every file. The
    passage ids are kept with the embeddings, since equal datasets may be stored in different orders. An entry that is
    damaged is removed and made again.
    """

    def __init__(self, directory: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._directory = directory
        self._limit = limit_bytes

    def find(self, config: EncoderConfig, dataset_digest: str) -> Encodings | None:
        """Return the encodings of a dataset by a model, or None when they are not there or not whole."""
        entry = self._entry(config, dataset_digest)
        if not entry.is_dir():
            return None
        meta = _sound_meta(entry, _key(config, dataset_digest))
        if meta is None:
            shutil.rmtree(entry, ignore_errors=True)
            return None
        try:
            mark_used(entry)
            return Encodings(entry, meta)
        except FileNotFoundError:  # another run has just made room
            return None

    def writer(self, passages: int, dimension: int) -> EncodingWriter:
        """Begin an entry; it lies aside until `keep`."""
        self._directory.mkdir(parents=True, exist_ok=True)
        return EncodingWriter(Path(tempfile.mkdtemp(dir=self._directory, prefix=_UNFINISHED)), passages, dimension)

    def keep(self, writer: EncodingWriter, config: EncoderConfig, dataset_digest: str, texts_per_second: float) -> None:
        """Give a finished entry its name, in one step; another run that was faster with the same entry wins."""
        files = {name: file_sha256(writer.directory / name) for name in _FILES}
        meta = Meta(key=_key(config, dataset_digest), files=files, texts_per_second=texts_per_second)
        meta.write(writer.directory / _META)
        try:
            writer.directory.rename(self._entry(config, dataset_digest))
        except OSError:
            # The name is taken: by an equal entry, since the name is the digest of all its inputs.
            self.discard(writer)
        self._make_room(self._entry(config, dataset_digest))

    def discard(self, writer: EncodingWriter) -> None:
        """Drop an unfinished entry."""
        writer.close()
        shutil.rmtree(writer.directory, ignore_errors=True)

    def _entry(self, config: EncoderConfig, dataset_digest: str) -> Path:
        key = _key(config, dataset_digest)
        return self._directory / records_sha256(f"{name}={key[name]}" for name in sorted(key))

    def _make_room(self, newest: Path) -> None:
        """Remove what was used longest ago; what a run that was killed left unfinished goes too, a day later."""
        for scratch in self._directory.glob(f"{_UNFINISHED}*"):
            if time.time() - scratch.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(scratch, ignore_errors=True)
        make_room(newest, lambda path: (path / _META).is_file(), self._limit)


def _key(config: EncoderConfig, dataset_digest: str) -> dict[str, str]:
    return {
        "format": str(_FORMAT),
        "model": config.digest,
        "dataset": dataset_digest,
        "encoder": config.model_dump_json(exclude={"parity", "base_model", "pooling", "files"}),
        # Another version or processor rounds differently: the same model, but not the same bytes.
        "runtime": f"openvino {version('openvino')} on {platform.machine()}",
    }


def _sound_meta(entry: Path, key: dict[str, str]) -> Meta | None:
    try:
        meta = Meta.read(entry / _META)
    except DataError:
        return None
    files = {name: file_sha256(entry / name) for name in _FILES if (entry / name).is_file()}
    return meta if meta.key == key and meta.files == files else None
