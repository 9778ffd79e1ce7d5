"""The shards of an index: embedded, copied from the previous index where a text is known, or found already made."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.errors import ModelError, StoreError
from components.evaluate.progress import Progress, silent
from components.index.corpus import Batch, SortedCorpus, content_of
from components.index.keeper import Keeper
from components.index.options import IndexOptions
from components.machine.digest import file_sha256
from components.machine.freed_memory import give_back
from components.model.encoder import Encoder, comparable
from components.search.reader import Index
from components.search.shard import HASH_BYTES, Passages, Shard, Vectors, shard_bytes
from components.search.version import ShardEntry, shard_name

Held = NDArray[np.int32]

_AT_ONCE = 4096  # texts that are handed to the encoder, which sorts them by length and packs them


class Sources(NamedTuple):
    """What shards are made from."""

    encoder: Encoder
    corpus: SortedCorpus
    former: Index | None = None  #: of the same model, whose vectors are copied where the text is the same


class Embedded(NamedTuple):
    """What became of the passages."""

    shards: list[ShardEntry]
    embedded: int  #: by this attempt
    copied: int  #: from the previous index
    found: int  #: in shards that an earlier attempt finished
    held: Held  #: position of each passage in the previous index, -1 where that has not its text


class ShardMaker:
    """Makes every shard of an index in a folder, one after the other, in the memory of one.

    Args:
        sources: encoder, corpus and previous index.
        folder: of the index.
        options: sizes and storage.
        keeper: keeps each shard as soon as it is finished.
        progress: told how many passages are done.
    """

    def __init__(
        self, sources: Sources, folder: Path, options: IndexOptions, keeper: Keeper, progress: Progress = silent
    ) -> None:
        self._encoder, self._corpus, self._former = sources
        self._folder, self._options, self._keeper, self._progress = folder, options, keeper, progress
        self._embedded = self._copied = self._found = 0
        self._total = sources.corpus.count

    def make(self) -> Embedded:
        """Make the shards that are not there yet; returns all of them.

        Raises:
            ModelError: when the model gives NaN or infinity.
            StoreError: when a shard could not be kept.
        """
        made = list(self.each(range(-(-self._corpus.count // self._options.shard_size))))
        entries, held = zip(*made, strict=True)
        return Embedded(list(entries), self._embedded, self._copied, self._found, np.concatenate(held))

    def each(self, shards: range) -> Iterator[tuple[ShardEntry, Held]]:
        """Make some shards, one after the other; see `make`."""
        size = self._options.shard_size
        self._total = min(shards.stop * size, self._corpus.count) - shards.start * size
        for number, batch in zip(shards, self._corpus.batches(size, shards.start), strict=False):
            held = batch.held.astype(np.int32)
            yield self._make(number, batch, held), held
            give_back()
            self._told(self._embedded + self._copied + self._found)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Passages that were embedded, copied, and found in shards that were there already."""
        return self._embedded, self._copied, self._found

    def _make(self, number: int, batch: Batch, held: Held) -> ShardEntry:
        path = self._folder / shard_name(number)
        content = hashlib.sha256(content_of(batch.ids, batch.digests)).hexdigest()
        if self._keeper.fetch(shard_name(number), path) and self._fits(path, content):
            self._found += len(batch.ids)
        else:
            self._write(path, batch, held, content)
            self._keeper.keep(shard_name(number), path)
            if not self._fits(path, content):
                raise StoreError(
                    f"{shard_name(number)} of the unfinished index is not what was kept there: it was changed since; "
                    "`ranklift prune` removes an index that was left unfinished, a day after its last shard."
                )
        return ShardEntry(passages=len(batch.ids), content=content, sha256=file_sha256(path))

    def _fits(self, path: Path, content: str) -> bool:
        """Whether a file is the whole shard of this content by this model."""
        try:
            shard = Shard(path)
        except StoreError:
            return False
        return (shard.content, shard.model_digest, shard.stored.dtype.name, shard.texts is not None) == (
            content,
            self._encoder.digest,
            self._options.storage,
            self._options.texts > 0,
        )

    def _write(self, path: Path, batch: Batch, held: Held, content: str) -> None:
        vectors = self._vectors(batch, held)
        hashes = np.frombuffer(b"".join(digest[:HASH_BYTES] for digest in batch.digests), np.uint8)
        kept = [text[: self._options.texts] for text in batch.texts] if self._options.texts else None
        passages = Passages(batch.ids, hashes.reshape(-1, HASH_BYTES), kept)
        metadata = {"content": content, "model": self._encoder.digest}
        try:
            data = shard_bytes(vectors, passages, self._options.storage, metadata)
        except OverflowError as error:
            raise ModelError(f"The vectors do not fit into float16 ({error}); give --storage float32.") from error
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.part")
        fresh.write_bytes(data)
        fresh.replace(path)

    def _vectors(self, batch: Batch, held: Held) -> Vectors:
        vectors = np.empty((len(batch.ids), self._encoder.config.dimension), dtype=np.float32)
        known = np.flatnonzero(held >= 0)
        if self._former is not None and len(known):
            vectors[known] = self._former.vectors(held[known].astype(np.int64))
            self._copied += len(known)
        new = np.flatnonzero(held < 0) if self._former is not None else np.arange(len(held))
        for start in range(0, len(new), _AT_ONCE):
            places = new[start : start + _AT_ONCE]
            vectors[places] = self._embed(
                [batch.ids[place] for place in places], [batch.texts[place] for place in places]
            )
        return vectors

    def _embed(self, ids: list[str], texts: list[str]) -> Vectors:
        done = self._embedded + self._copied + self._found

        def report(count: int) -> None:
            nonlocal done
            done += count
            self._told(done)

        vectors = comparable(self._encoder.encode_documents(texts, report), self._encoder.config)
        unusable = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(unusable):
            raise ModelError(
                f"The model gives NaN or infinity for {len(unusable)} of {len(ids)} passages, the first with id "
                f"{ids[int(unusable[0])]!r}: nothing is found with it; export it again with `--precision fp32`."
            )
        self._embedded += len(ids)
        return vectors

    def _told(self, done: int) -> None:
        self._progress("embedding", done, self._total)


def told_of(embedded: int, copied: int, found: int, seconds: float) -> str:
    """Return what became of passages, in a line for the log."""
    parts = {"embedded": embedded, "copied from the previous index": copied, "there already": found}
    told = ", ".join(f"{count:,} {what}" for what, count in parts.items() if count) or "nothing to embed"
    rate = f", {embedded / seconds:,.0f} passages/s" if embedded else ""
    return f"{told} in {seconds:.1f} s{rate}"
