"""A shard: the vectors of a run of passages with their ids, texts and content hashes, in one file that can be mapped.

The file is in the format of safetensors, which many tools read: a header in JSON that says where each array lies, then
the arrays. ``__metadata__`` names the model and the passages, so that a shard tells by itself whether it may be used.

    vectors      (passages, dimension), float32, float16 or int8
    scales       (passages,) float32; with int8 alone: a vector is its row times its scale
    hashes       (passages, 16) uint8: of each text, to find it again in the next version of the corpus
    id_ends      (passages,) int64 and ids (bytes,) uint8: the ids in UTF-8, one after the other
    text_ends    likewise texts; absent where the index keeps none
"""

import hashlib
import json
import mmap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.errors import StoreError
from components.search.version import Storage

HASH_BYTES = 16
_ALIGNMENT = 64
_DTYPES = {"F32": np.float32, "F16": np.float16, "I8": np.int8, "U8": np.uint8, "I64": np.int64}
_NAMES = {np.dtype(kind): name for name, kind in _DTYPES.items()}
_LONGEST_HEADER = 1 << 20
_FLOAT16_MAX = float(np.finfo(np.float16).max)

Array = NDArray[Any]
Vectors = NDArray[np.float32]
Hashes = NDArray[np.uint8]


class Strings:
    """Texts that lie one after the other in a mapped file."""

    def __init__(self, ends: NDArray[np.int64], data: NDArray[np.uint8]) -> None:
        self._ends = ends
        self._data = data

    def __len__(self) -> int:
        return len(self._ends)

    def raw(self, place: int) -> bytes:
        """Return the bytes of one text, in UTF-8."""
        start = int(self._ends[place - 1]) if place else 0
        return self._data[start : int(self._ends[place])].tobytes()

    def __getitem__(self, place: int) -> str:
        return self.raw(place).decode("utf-8")

    def find(self, text: str) -> int:
        """Return the place of a text among texts in ascending order, or -1."""
        wanted = text.encode("utf-8", "surrogatepass")
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.raw(middle) < wanted else (low, middle)
        return low if low < len(self) and self.raw(low) == wanted else -1


class Shard:
    """A shard's file, mapped: pages are read when they are needed, and shared by all processes that map it.

    Args:
        path: of the file.

    Raises:
        StoreError: when the file is no shard or is cut off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mapped, metadata, arrays = _open(path)
        self.content = metadata.get("content", "")  #: see `ShardEntry.content`
        self.model_digest = metadata.get("model", "")
        try:
            self.stored = arrays["vectors"]
            self.hashes: Hashes = arrays["hashes"]
            self.ids = Strings(arrays["id_ends"], arrays["ids"])
        except KeyError as missing:
            raise StoreError(f"{path} is not a shard of an index: it has no {missing}; make the index again.") from None
        self._scales = arrays.get("scales")
        self.texts = Strings(arrays["text_ends"], arrays["texts"]) if "texts" in arrays else None
        if self.stored.ndim != 2 or {len(self.hashes), len(self.ids)} != {len(self.stored)}:
            raise StoreError(
                f"{path} is not a complete shard: its arrays have different lengths; make the index again."
            )

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return int(self.stored.shape[1])

    def vectors(self, places: slice | NDArray[np.int64]) -> Vectors:
        """Return some vectors, as float32."""
        found: Vectors = self.stored[places].astype(np.float32)
        if self._scales is not None:
            found *= self._scales[places, None]
        return found

    def release(self) -> None:
        """Give the pages back that were read; what is read next is mapped again."""
        self._mapped.madvise(mmap.MADV_DONTNEED)


def stored_vectors(vectors: Vectors, storage: Storage) -> dict[str, Array]:
    """Return the arrays by which a shard keeps vectors.

    Raises:
        OverflowError: when a vector is too long for float16.
    """
    if storage == "float32":
        return {"vectors": vectors}
    if storage == "float16":
        if vectors.size and float(np.abs(vectors).max()) > _FLOAT16_MAX:
            raise OverflowError(f"a vector has a component beyond {_FLOAT16_MAX:g}")
        return {"vectors": vectors.astype(np.float16)}
    scales = np.abs(vectors).max(axis=1, initial=0.0).astype(np.float32) / 127
    rounded = np.rint(vectors / np.where(scales > 0, scales, 1)[:, None]).astype(np.int8)
    return {"scales": scales, "vectors": rounded}


def joined(texts: Iterable[str]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Texts as `Strings` keeps them."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
    return ends, np.frombuffer(b"".join(encoded), dtype=np.uint8)


def content_hash(text: str) -> bytes:
    """Return the hash by which a text is known again."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()[:HASH_BYTES]


class Passages(NamedTuple):
    """What a shard says about its passages besides their vectors."""

    ids: Sequence[str]
    hashes: Hashes
    texts: Sequence[str] | None = None  #: their beginnings; None where the index keeps none


def shard_bytes(vectors: Vectors, passages: Passages, storage: Storage, metadata: Mapping[str, str]) -> bytes:
    """Return the file of a shard; the same content gives the same bytes."""
    id_ends, id_bytes = joined(passages.ids)
    arrays = stored_vectors(vectors, storage) | {"hashes": passages.hashes, "id_ends": id_ends, "ids": id_bytes}
    if passages.texts is not None:
        text_ends, text_bytes = joined(passages.texts)
        arrays |= {"text_ends": text_ends, "texts": text_bytes}
    return _safetensors(arrays, metadata)


def _safetensors(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    blocks: list[bytes] = []
    offset = 0
    # The widest first: every array then starts at a multiple of its width.
    for name, array in sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])):
        block = np.ascontiguousarray(array).tobytes()
        place = [offset, offset + len(block)]
        header[name] = {"dtype": _NAMES[array.dtype], "shape": list(array.shape), "data_offsets": place}
        blocks.append(block)
        offset += len(block)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % _ALIGNMENT)
    return b"".join([len(text).to_bytes(8, "little"), text, *blocks])


def _open(path: Path) -> tuple[mmap.mmap, dict[str, str], dict[str, Array]]:
    """Return a safetensors file, mapped, with its metadata and its arrays as views of it."""
    try:
        with path.open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be opened ({error}); download or make the index again.") from error
    try:
        return mapped, *_views(mapped)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"is not a complete shard of an index ({error}); download or make the index again."
        raise StoreError(f"{path} {reason}") from error


def _views(mapped: mmap.mmap) -> tuple[dict[str, str], dict[str, Array]]:
    length = int.from_bytes(mapped[:8], "little")
    if not 2 <= length <= min(_LONGEST_HEADER, len(mapped) - 8):
        raise ValueError(f"its header would have {length} bytes")
    header = json.loads(mapped[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    arrays: dict[str, Array] = {}
    for name, entry in header.items():
        kind = np.dtype(_DTYPES[entry["dtype"]])
        start, end = entry["data_offsets"]
        shape = tuple(entry["shape"])
        size = int(np.prod(shape, dtype=np.int64))
        if not 0 <= start <= end <= len(mapped) - 8 - length or end - start != size * kind.itemsize:
            raise ValueError(f"{name} does not lie in it")
        arrays[name] = np.frombuffer(mapped, kind, size, 8 + length + start).reshape(shape)
    return metadata, arrays
