"""The index in service: opened with its model, mapped, and searched by threads, so that the event loop never waits."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from components.model.encoder import Embeddings
from components.model.served import index_beside
from components.registry.directory import check_directory
from components.registry.files import VERSION
from components.registry.version import VersionManifest
from components.search.reader import NOTHING, Index, Positions, open_index
from components.search.version import IndexManifest
from predictor import metrics
from predictor.refusal import timed_out
from predictor.settings import PredictorSettings

_AT_ONCE = 16  # queries of one request that a thread searches for before it looks at what others ask


class Found(NamedTuple):
    """One passage that a search found."""

    id: str
    score: float
    text: str | None  #: its beginning, where the index keeps texts


class ServedIndex:
    """An index in service. Make one with `ServedIndex.open`.

    It closes itself: requests that chose it finish on it after another took its place, and the last
    reference takes the threads and the mapped files with it.
    """

    def __init__(self, index: Index, version: str, threads: int) -> None:
        self._index = index
        self.version = version
        self.manifest = index.manifest
        self.digest = index.manifest.digest
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="search")

    @classmethod
    def open(cls, directory: Path, model_digest: str, settings: PredictorSettings, threads: int) -> "ServedIndex":
        """Open and verify the index in a folder, and search once.

        A version of the registry is checked against its manifest first, as the model's is.

        Raises:
            DataError: when the folder holds no index.
            StoreError: when the index is damaged, was not promoted, or belongs to another model.
        """
        promoted = settings.index_manifest_sha256 or None
        if promoted or (directory / VERSION).is_file():
            check_directory(directory, promoted)
        index = open_index(directory, model_digest)
        index.search(np.zeros((1, index.manifest.dimension), dtype=np.float32), 1)
        return cls(index, index_version_of(directory, index.manifest, settings), threads)

    async def search(
        self, queries: Embeddings, k: int, ids: Sequence[str] | None, deadline: float, timeout: float
    ) -> list[list[Found]]:
        """Return the k best passages of each query, best first; fewer where there are fewer.

        Args:
            queries: float32 of shape (queries, dimension), from `comparable`.
            k: at least 1.
            ids: the only passages that may be found; those that the index does not have are left out. All when None.
            deadline: on the monotonic clock.
            timeout: seconds from the request to the deadline, for the refusal.

        Raises:
            RefusalError: when the deadline passes.
        """
        loop = asyncio.get_running_loop()
        among = None
        found: list[list[Found]] = []
        try:
            async with asyncio.timeout_at(loop.time() + deadline - time.monotonic()):
                if ids is not None:
                    among = await loop.run_in_executor(self._threads, self._index.positions, ids)
                for start in range(0, len(queries), _AT_ONCE):
                    piece = queries[start : start + _AT_ONCE]
                    found += await loop.run_in_executor(self._threads, self._found, piece, k, among)
        except TimeoutError:
            raise timed_out(timeout) from None
        return found

    def _found(self, queries: Embeddings, k: int, among: Positions | None) -> list[list[Found]]:
        started = time.perf_counter()
        hits = self._index.search(queries, min(k, len(self._index)), among)
        metrics.SEARCH.observe(time.perf_counter() - started)
        return [self._named(*row) for row in zip(hits.positions, hits.scores, strict=True)]

    def _named(self, positions: Positions, scores: Embeddings) -> list[Found]:
        kept = positions != NOTHING
        places = positions[kept]
        texts: Sequence[str | None] = self._index.texts(places) or [None] * len(places)
        return list(map(Found, self._index.ids(places), scores[kept].tolist(), texts))


def index_directory(model: Path, settings: PredictorSettings) -> Path | None:
    """Where the index of the model in a directory is; None where there is none.

    Args:
        model: the model's directory, links resolved.
        settings: may name an index; then it is that one, whatever lies beside the model.
    """
    return settings.index_dir or index_beside(model)


def index_version_of(directory: Path, manifest: IndexManifest, settings: PredictorSettings) -> str:
    """Return the index's name: from the settings, else the registry's, else the first digits of its digest."""
    if settings.index_version:
        return settings.index_version
    if (directory / VERSION).is_file():
        return VersionManifest.read(directory / VERSION).version
    return manifest.digest[:12]
