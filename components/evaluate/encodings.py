"""Encoding an evaluation set: from the cache where it is there, else by the model while the corpus streams by."""

import time
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from components.dataset.evaluation_set import EvaluationSet
from components.errors import ModelError
from components.evaluate.encoding_cache import EncodingCache, EncodingWriter
from components.evaluate.progress import Progress
from components.evaluate.search import Block
from components.model.encoder import Embeddings, Encoder, comparable

#: Passages that are encoded together: enough to sort by length with next to no padding, little enough to hold.
_BLOCK = 4096


class Encodings(Protocol):
    """Embeddings of an evaluation set, ready for an inner product; `corpus` may be read once."""

    queries: Embeddings
    cached: bool
    texts_per_second: float  #: known once the corpus has been read

    def corpus(self) -> Iterator[Block]:
        """Return the passages in blocks."""


def encodings(
    encoder: Encoder, evaluation_set: EvaluationSet, progress: Progress, cache: EncodingCache | None, notes: list[str]
) -> Encodings:
    """Return the embeddings of an evaluation set by a model; `notes` gets a sentence when they could not be kept.

    Raises:
        ModelError: when the model gives NaN or an infinity for a text.
    """
    if cache is not None and (found := cache.find(encoder.config, evaluation_set.digest)) is not None:
        return found
    return _FreshEncodings(encoder, evaluation_set, progress, cache, notes)


class _FreshEncodings:
    cached = False

    def __init__(
        self,
        encoder: Encoder,
        evaluation_set: EvaluationSet,
        progress: Progress,
        cache: EncodingCache | None,
        notes: list[str],
    ) -> None:
        self._encoder = encoder
        self._set = evaluation_set
        self._progress = progress
        self._cache = cache
        self._notes = notes
        self._seconds = 0.0
        self.texts_per_second = 0.0
        ids, texts = list(evaluation_set.queries), list(evaluation_set.queries.values())
        self.queries = self._encode("encoding the queries", ids, texts, 0, len(ids))

    def corpus(self) -> Iterator[Block]:
        writer = self._writer()
        try:
            done = 0
            for batch in self._set.passages(_BLOCK):
                ids = [passage_id for passage_id, _ in batch]
                texts = [text for _, text in batch]
                block = self._encode("encoding the corpus", ids, texts, done, self._set.corpus_size)
                done += len(ids)
                writer = self._add(writer, ids, block)
                yield ids, block
            self.texts_per_second = (done + len(self._set.queries)) / max(self._seconds, 1e-9)
            writer = self._keep(writer)
        finally:
            if writer is not None and self._cache is not None:
                self._cache.discard(writer)

    def _encode(self, phase: str, ids: Sequence[str], texts: Sequence[str], done: int, total: int) -> Embeddings:
        def report(count: int) -> None:
            nonlocal done
            done += count
            self._progress(phase, done, total)

        started = time.perf_counter()
        encode = self._encoder.encode_queries if "queries" in phase else self._encoder.encode_documents
        vectors = comparable(encode(texts, report), self._encoder.config)
        self._seconds += time.perf_counter() - started
        unusable = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(unusable):
            raise ModelError(
                f"The model gives NaN or infinity for {len(unusable)} of {len(ids)} texts, the first with id "
                f"{ids[int(unusable[0])]!r}: it cannot rank texts; train it again with a lower learning rate, or "
                "export it with `--precision fp32`."
            )
        return vectors

    def _writer(self) -> EncodingWriter | None:
        if self._cache is None:
            return None
        try:
            return self._cache.writer(self._set.corpus_size, self._encoder.config.dimension)
        except OSError as error:
            self._note(error)
            return None

    def _add(self, writer: EncodingWriter | None, ids: Sequence[str], block: Embeddings) -> EncodingWriter | None:
        if writer is None or self._cache is None:
            return None
        try:
            writer.add(ids, block)
        except OSError as error:
            self._note(error)
            self._cache.discard(writer)
            return None
        return writer

    def _keep(self, writer: EncodingWriter | None) -> EncodingWriter | None:
        if writer is None or self._cache is None:
            return None
        try:
            writer.finish(list(self._set.queries), self.queries)
            self._cache.keep(writer, self._encoder.config, self._set.digest, self.texts_per_second)
        except OSError as error:
            self._note(error)
            return writer
        return None

    def _note(self, error: OSError) -> None:
        # A cache saves time and decides nothing: the evaluation goes on without it, and says so.
        self._notes.append(f"The encodings could not be kept for the next run ({error}).")
