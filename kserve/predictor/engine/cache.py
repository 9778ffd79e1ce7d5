"""Embeddings of documents that were encoded before: a bounded cache, least recently used out first."""

from collections import OrderedDict
from hashlib import blake2b, sha256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.machine.processor import has_sha256

Vector = NDArray[np.float32]
Key = bytes

_OVERHEAD = 316  # bytes of one entry besides its vector: key, array header, dictionary slot


class Embedded(NamedTuple):
    """What the encoder knows about one text."""

    vector: Vector  #: float32 of shape (dimension,)
    tokens: int  #: that the model read, special tokens included
    was_cut: bool = False  #: whether the text has more tokens than the model reads


class EmbeddingCache:
    """Exact hits only: the key is a digest of the text, keyed by the model digest. For one thread."""

    def __init__(self, model_digest: str, capacity: int) -> None:
        """`capacity` is in bytes; 0 keeps nothing."""
        self.capacity = capacity
        self.bytes = 0
        salt = bytes.fromhex(model_digest)[:32]
        # In hardware SHA-256 is half as fast again as BLAKE2, and half as fast without.
        self._salted = sha256(salt) if has_sha256() else blake2b(digest_size=32, key=salt)
        self._entries: OrderedDict[Key, Embedded] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def key(self, text: str) -> Key:
        """Return the key of a text for this model."""
        digest = self._salted.copy()
        digest.update(text.encode("utf-8", "surrogatepass"))
        return digest.digest()

    def get(self, key: Key) -> Embedded | None:
        """Return the embedding kept under a key, which becomes the most recently used."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: Key, entry: Embedded) -> None:
        """Keep an embedding; the least recently used ones leave until all fit."""
        size = _size(entry)
        if size > self.capacity or key in self._entries:
            return
        self._entries[key] = entry
        self.bytes += size
        while self.bytes > self.capacity:
            _, oldest = self._entries.popitem(last=False)
            self.bytes -= _size(oldest)


def _size(entry: Embedded) -> int:
    return entry.vector.nbytes + _OVERHEAD
