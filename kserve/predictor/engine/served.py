"""One model in service: its encoder, the queue in front of it, and the cache of what it has embedded."""

import asyncio
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from components.machine.processor import available_cpus
from components.model.encoder import Embeddings, Encoder, comparable
from components.model.served import EncoderConfig
from components.registry.directory import check_directory
from components.registry.files import VERSION
from predictor import metrics
from predictor.engine.batching import Batcher
from predictor.engine.cache import Embedded, EmbeddingCache, Key
from predictor.engine.index import Found, ServedIndex, index_directory
from predictor.engine.waiting import Waiting
from predictor.settings import PredictorSettings

Place = Waiting | Embedded
Side = Literal["query", "document"]

_VERSION = re.compile(r"V\d+")


class Answer(NamedTuple):
    """Scores of documents for one query, and the model that gave them."""

    scores: list[float]  #: the similarity of each document, in the order given
    tokens: int  #: that the model read, or would have read for what was cached
    embedded: list[Embedded]  #: the query, then the documents


class Served:
    """A model that answers. Make one with `Served.open`; everything else is for the event loop's thread."""

    def __init__(
        self,
        encoder: Encoder,
        version: str,
        settings: PredictorSettings,
        streams: int,
        index: ServedIndex | None = None,
    ) -> None:
        self.encoder = encoder
        self.index = index  #: of the vectors that this model made; None without one
        self.version = version
        self.since = time.time()  #: when it was loaded
        self.digest = encoder.digest
        self.cache = EmbeddingCache(self.digest, settings.cache_megabytes << 20)
        self._timeout = settings.request_timeout
        self._in_flight: dict[Key, Waiting] = {}
        self._batcher = Batcher(
            encoder,
            streams=streams,
            batch_tokens=settings.batch_tokens,
            max_waiting=settings.max_waiting_texts,
            max_characters=settings.max_waiting_characters,
            timeout=settings.request_timeout,
        )

    @classmethod
    async def open(cls, directory: Path, settings: PredictorSettings) -> "Served":
        """Load, verify and warm up the model in a directory, and the index of it, away from the event loop.

        A version of the registry is checked against its manifest first, and the manifest against the hash that the
        settings name: whoever may write the bucket can change both together, and not the champion's record unseen.

        Raises:
            ModelError: when it is not a whole model, or this processor cannot run it.
            DataError: when there is to be an index and is none.
            StoreError: when model or index is not the version that was promoted, or the index is of another model.
        """
        await asyncio.to_thread(_check_version, directory, settings.manifest_sha256)
        streams = settings.threads or available_cpus()
        encoder = await asyncio.to_thread(Encoder.open, directory, threads=streams)
        version = settings.model_version or version_of(directory, encoder.digest)
        place = index_directory(directory, settings)
        index = None
        if place is not None:
            index = await asyncio.to_thread(ServedIndex.open, place, encoder.digest, settings, streams)
        served = cls(encoder, version, settings, streams, index)
        await served._batcher.start()
        return served

    @property
    def config(self) -> EncoderConfig:
        """What the model's ``encoder.json`` says."""
        return self.encoder.config

    async def close(self, within: float | None = None) -> None:
        """Answer what waits, for so many seconds at most, then give the threads and the memory back."""
        await self._batcher.close(within)

    async def rank(self, pairs: Sequence[tuple[str, Sequence[str]]]) -> list[Answer]:
        """Score each query's documents.

        Raises:
            RefusalError: when the queue is full or the deadline passes.
        """
        deadline = time.monotonic() + self._timeout
        texts = [text for _, documents in pairs for text in documents]
        queries, places = self._place([query for query, _ in pairs], texts, deadline)
        vectors = await self._collect([*queries, *places], deadline)
        answers = []
        start = len(pairs)
        for query, (_, documents) in zip(vectors[: len(pairs)], pairs, strict=True):
            end = start + len(documents)
            answers.append(self._score(query, vectors[start:end]))
            start = end
        return answers

    async def embed(self, texts: Sequence[str], side: Side) -> list[Embedded]:
        """Embed texts as the model embeds queries, which are never cached, or documents.

        Raises:
            RefusalError: when the queue is full or the deadline passes.
        """
        deadline = time.monotonic() + self._timeout
        asked, kept = (texts, ()) if side == "query" else ((), texts)
        queries, documents = self._place(asked, kept, deadline)
        return await self._collect([*queries, *documents], deadline)

    async def search(self, queries: Sequence[str], k: int, ids: Sequence[str] | None) -> list[list[Found]] | None:
        """Return the passages of the index that are nearest to each query; None without an index.

        Raises:
            RefusalError: when the queue is full or the deadline passes.
        """
        if self.index is None:
            return None
        deadline = time.monotonic() + self._timeout
        embedded = await self.embed(queries, "query")
        vectors = comparable(np.stack([item.vector for item in embedded]), self.config)
        return await self.index.search(vectors, k, ids, deadline, self._timeout)

    def _place(
        self, queries: Sequence[str], documents: Sequence[str], deadline: float
    ) -> tuple[Sequence[Place], list[Place]]:
        """Each query in the queue; each document as the cache has it, as another request awaits it, or in the queue."""
        keys = [self.cache.key(text) for text in documents]
        known: dict[Key, Place] = {}
        missing: dict[Key, str] = {}
        for key, text in zip(keys, documents, strict=True):
            if key in known or key in missing:
                continue
            found = self._find(key, deadline)
            if found is None:
                missing[key] = text
            else:
                known[key] = found
        texts = [self.config.query_prompt + text for text in queries]
        texts += [self.config.document_prompt + text for text in missing.values()]
        submitted = self._batcher.submit(texts, deadline) if texts else []
        metrics.CACHE_MISSES.inc(len(missing))
        on_end = self._keep
        for key, waiting in zip(missing, submitted[len(queries) :], strict=True):
            known[key] = self._in_flight[key] = waiting
            waiting.key, waiting.on_end = key, on_end
        return submitted[: len(queries)], [known[key] for key in keys]

    def _find(self, key: Key, deadline: float) -> Place | None:
        if cached := self.cache.get(key):
            metrics.CACHE_HITS.inc()
            return cached
        return self._join(key, deadline)

    def _join(self, key: Key, deadline: float) -> Waiting | None:
        waiting = self._in_flight.get(key)
        if waiting is not None:
            waiting.deadline = max(waiting.deadline, deadline)
            metrics.CACHE_JOINED.inc()
        return waiting

    def _keep(self, waiting: Waiting) -> None:
        if waiting.key is None:
            return  # a query, which is never cached
        self._in_flight.pop(waiting.key, None)
        if isinstance(waiting.outcome, Embedded):
            self.cache.put(waiting.key, waiting.outcome)
            metrics.CACHE_BYTES.set(self.cache.bytes)
            metrics.CACHE_ENTRIES.set(len(self.cache))

    async def _collect(self, places: Sequence[Place], deadline: float) -> list[Embedded]:
        await self._batcher.wait({place for place in places if isinstance(place, Waiting)}, deadline)
        return list(map(_embedded, places))

    def _score(self, query: Embedded, documents: list[Embedded]) -> Answer:
        tokens = query.tokens + sum(item.tokens for item in documents)
        return Answer(self.similarities(query, documents), tokens, [query, *documents])

    def similarities(self, query: Embedded, documents: Sequence[Embedded]) -> list[float]:
        """Return the similarity of each document to a query, as the model compares them."""
        rows: Embeddings = np.stack([query.vector, *(item.vector for item in documents)])
        vectors = comparable(rows, self.config)
        products = vectors[1:] @ vectors[0]
        if self.config.similarity == "cosine":
            products = products.clip(-1.0, 1.0)  # a rounding may lead out of what a cosine can be
        scores: list[float] = products.tolist()
        return scores


def _embedded(place: Place) -> Embedded:
    """Return what became of a text that is no longer waited for."""
    found = place.outcome if isinstance(place, Waiting) else place
    if isinstance(found, Exception):
        raise found
    assert found is not None  # noqa: S101 - whoever waits for a text keeps it from being left
    return found


def _check_version(directory: Path, manifest_sha256: str) -> None:
    if manifest_sha256 or (directory / VERSION).is_file():
        check_directory(directory, manifest_sha256 or None)


def version_of(directory: Path, digest: str) -> str:
    """Return the registry's version if the directory is named after one (V3), else the digest's first digits."""
    name = directory.resolve().name
    return name if _VERSION.fullmatch(name) else digest[:12]
