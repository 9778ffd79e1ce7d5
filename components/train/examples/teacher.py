"""What a teacher says: a cross-encoder's score of each query with its positive and its negatives, kept in a file.

<folder>/scores.bin   a record for each pair that was scored: a key of query and passage, and the score
<folder>/lock         held by who reads and scores; another training waits, and then finds the scores

Records are added as they are made, so that an interrupted training goes on where its teacher was.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.errors import ModelError
from components.model.cross_encoder import open_cross_encoder
from components.stage import tell
from components.train.examples.triplets import Example

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

_SCORES, _LOCK = "scores.bin", "lock"
_RECORD = np.dtype([("key", "<u8"), ("score", "<f4")])
_AT_ONCE = 1024  #: pairs that are scored before they are written
_BATCH = 32  #: pairs in a forward pass
_EVERY = 5.0  # seconds between two lines

Pair = tuple[str, str]  #: a query and a passage
Scores = NDArray[np.float32]


@contextmanager
def teaching(directory: Path, folder: Path, device: str) -> Iterator["Teacher"]:
    """Open the scores of a cross-encoder for this process alone.

    Args:
        directory: of the cross-encoder, which is opened when a pair is to be scored that was not scored before.
        folder: of the scores; is made. They must be of this cross-encoder.
        device: that it computes on, as torch names it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Teacher(directory, folder / _SCORES, device)


class Teacher:
    """A cross-encoder that scores each pair once; see `teaching`."""

    def __init__(self, directory: Path, path: Path, device: str) -> None:
        self._directory, self._path, self._device = directory, path, device
        self._model: CrossEncoder | None = None
        self._known = _read(path)

    def scores(self, examples: Sequence[Example]) -> Scores:
        """Return the scores of examples with the same number of negatives, of shape (examples, passages).

        Raises:
            ModelError: when the cross-encoder cannot be opened, or gives no number.
        """
        found = self._scores_of([(example.query, passage) for example in examples for passage in _passages(example)])
        return found.reshape(len(examples), -1)

    def without_answers(self, examples: Sequence[Example]) -> list[Example]:
        """Return the examples without those mined negatives that the teacher scores at least as high as the positive.

        The data's own negatives, which come first, stay as they are: the teacher's scores say how wrong they are.
        """
        found = iter(self._scores_of([(one.query, text) for one in examples for text in (one.positive, *_mined(one))]))
        kept = []
        for example in examples:
            limit = next(found)
            negatives = [text for text, score in zip(_mined(example), found, strict=False) if score < limit]
            kept.append(example._replace(negatives=(*example.negatives[: example.triplets], *negatives)))
        return kept

    def _scores_of(self, pairs: Sequence[Pair]) -> Scores:
        keys = np.fromiter(map(_key, pairs), np.uint64, len(pairs))
        missing = np.flatnonzero(~np.isin(keys, self._known["key"]))
        _, first = np.unique(keys[missing], return_index=True)
        self._score([(int(keys[place]), pairs[place]) for place in missing[np.sort(first)]])
        places = np.searchsorted(self._known["key"], keys)
        found: Scores = self._known["score"][places]
        return found

    def _score(self, missing: Sequence[tuple[int, Pair]]) -> None:
        """Score pairs by their keys, and write the scores as they come."""
        started = told = time.monotonic()
        for start in range(0, len(missing), _AT_ONCE):
            part = missing[start : start + _AT_ONCE]
            made = np.empty(len(part), _RECORD)
            made["key"] = [key for key, _ in part]
            made["score"] = self._predict([pair for _, pair in part])
            _append(self._path, made)
            self._known = _sorted(np.concatenate([self._known, made]))
            done, now = start + len(part), time.monotonic()
            if now - told > _EVERY or done == len(missing):
                told, rate = now, done / (now - started)
                left = (len(missing) - done) / rate
                tell("train", f"teacher: {done:,} of {len(missing):,} pairs  {rate:.1f} pairs/s  {left:.0f} s left")

    def _predict(self, pairs: list[Pair]) -> Scores:
        from torch.nn import Identity

        if self._model is None:
            self._model = open_cross_encoder(self._directory, self._device)
        # As they are: a sigmoid would make all clear answers alike.
        scores = self._model.predict(pairs, batch_size=_BATCH, show_progress_bar=False, activation_fn=Identity())
        found: Scores = np.asarray(scores, dtype=np.float32).reshape(len(pairs))
        if not np.isfinite(found).all():
            query, passage = pairs[int(np.flatnonzero(~np.isfinite(found))[0])]
            raise ModelError(
                f"The teacher {self._directory} gives no number for the query {query[:80]!r} and the passage "
                f"{passage[:80]!r}; use another cross-encoder."
            )
        return found


def _passages(example: Example) -> tuple[str, ...]:
    return (example.positive, *example.negatives)


def _mined(example: Example) -> tuple[str, ...]:
    return example.negatives[example.triplets :]


def _key(pair: Pair) -> int:
    query, passage = (text.encode() for text in pair)
    lengths = len(query).to_bytes(8, "little")
    return int.from_bytes(blake2b(lengths + query + passage, digest_size=8).digest(), "little")


def _read(path: Path) -> NDArray[np.void]:
    """Return the records of a file, sorted by key; remove a last record that was cut short."""
    if not path.is_file():
        return np.empty(0, _RECORD)
    whole = path.stat().st_size // _RECORD.itemsize
    os.truncate(path, whole * _RECORD.itemsize)
    return _sorted(np.fromfile(path, _RECORD))


def _append(path: Path, records: NDArray[np.void]) -> None:
    with path.open("ab") as file:
        file.write(records.tobytes())
        file.flush()
        os.fsync(file.fileno())


def _sorted(records: NDArray[np.void]) -> NDArray[np.void]:
    return records[np.argsort(records["key"], kind="stable")]
