"""Search in an index version: open it once, ask it from any thread. The predictor imports this module.

    index = open_index(Path("serving/indexes/V2"), model_digest=encoder.digest)
    queries = comparable(encoder.encode_queries(["travelling salesman"]), encoder.config)
    hits = index.search(queries, k=10)                       # .scores and .positions, both (queries, 10)
    index.ids(hits.positions[0]), index.texts(hits.positions[0])
    index.search(queries, 10, among=index.positions(["p1", "p7"]))   # these passages alone, exactly

Nothing is read into memory: shards and graphs are mapped, and processes that open the same folder share their pages.
Needs numpy; usearch too for an index with graphs. Vectors are compared by inner product, so queries must come through
`comparable`, as the passages did. The opened index never changes; replace it as a whole by another one.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.errors import StoreError
from components.machine.digest import check_file
from components.search.graph import for_graph, open_graph
from components.search.shard import Hashes, Shard, Vectors
from components.search.version import INDEX, IndexManifest, Storage, graph_name, shard_name

Positions = NDArray[np.int64]
NOTHING = -1  #: in place of a position where fewer than k passages were found; its score is minus infinity

_ROWS = 8192  # vectors of a shard that are compared at once: 12 MB of float32 at dimension 384
_QUERIES = 256  # that are compared with them
_FURTHER = 2  # times as many candidates as results are taken from each graph and scored again


class Hits(NamedTuple):
    """The best passages of each query, best first."""

    scores: NDArray[np.float32]  #: (queries, k), descending; of equal scores the larger id comes first
    positions: Positions  #: (queries, k); `Index.ids` names them


class Index:
    """An index version that can be searched. Open one with `open_index`; safe to share between threads."""

    def __init__(
        self, directory: Path, manifest: IndexManifest, shards: list[Shard], graphs: Iterable[Any], is_frugal: bool
    ) -> None:
        self.directory = directory
        self.manifest = manifest
        self._shards = shards
        self._graphs = graphs
        self._is_frugal = is_frugal
        self._firsts = np.cumsum([0, *(len(shard) for shard in shards)], dtype=np.int64)
        for shard in shards:  # reading its header mapped the pages around it
            self._done_with(shard)

    def __len__(self) -> int:
        return self.manifest.count

    @property
    def shards(self) -> Sequence[Shard]:
        """The shards in order: every passage with its id, text and vector, for whoever copies the index elsewhere."""
        return self._shards

    @property
    def is_exact(self) -> bool:
        """Whether every search compares the query with every vector."""
        return self.manifest.graph is None

    def search(self, queries: Vectors, k: int, among: Positions | None = None) -> Hits:
        """Return the k best passages of each query.

        Args:
            queries: float32 of shape (queries, dimension), from `comparable`.
            k: how many, at least 1.
            among: the only passages that may be found, as `positions` gives them; all when None. These are compared
                exactly, whatever the index is.
        """
        if among is not None:
            return self._best(queries, k, [np.unique(among)] * len(queries))
        if self.is_exact:
            return self.search_exactly(queries, k)
        return self._best(queries, k, self._candidates(queries, _FURTHER * k))

    def search_exactly(self, queries: Vectors, k: int) -> Hits:
        """Return the k best passages of each query, compared with every vector whatever the index is."""
        best = [_Best(len(piece), k) for piece in _pieces(queries)]
        for number, shard in enumerate(self._shards):
            for start in range(0, len(shard), _ROWS):
                block = shard.vectors(slice(start, start + _ROWS))
                first = int(self._firsts[number]) + start
                for piece, found in zip(_pieces(queries), best, strict=True):
                    found.add(piece @ block.T, first)
            self._done_with(shard)
        return Hits(
            np.concatenate([found.scores for found in best]), np.concatenate([found.positions for found in best])
        )

    def positions(self, ids: Sequence[str]) -> Positions:
        """Where passages are; ids that the index does not have are left out."""
        found = [self._position(name) for name in dict.fromkeys(ids)]
        return np.array([place for place in found if place != NOTHING], dtype=np.int64)

    def ids(self, positions: Positions) -> list[str]:
        """Return the ids of passages; `NOTHING` is left out."""
        return [shard.ids[place] for shard, place in self._places(positions)]

    def texts(self, positions: Positions) -> list[str] | None:
        """Return the beginnings of texts, as many characters as the index keeps; None when it keeps none."""
        if not self.manifest.has_texts:
            return None
        return [shard.texts[place] if shard.texts else "" for shard, place in self._places(positions)]

    def vectors(self, positions: Positions) -> Vectors:
        """Return the vectors of passages, in this order."""
        found = np.empty((len(positions), self.manifest.dimension), dtype=np.float32)
        numbers = np.searchsorted(self._firsts, positions, side="right") - 1
        for number in np.unique(numbers):
            rows = np.flatnonzero(numbers == number)
            found[rows] = self._shards[number].vectors(positions[rows] - self._firsts[number])
            self._done_with(self._shards[number])
        return found

    def hashes(self) -> Iterator[Hashes]:
        """Yield the content hashes of all passages, shard by shard; copy what is to be kept."""
        for shard in self._shards:
            yield shard.hashes
            self._done_with(shard)

    def _done_with(self, shard: Shard) -> None:
        if self._is_frugal:
            shard.release()

    def _places(self, positions: Positions) -> Iterator[tuple[Shard, int]]:
        wanted = positions[positions != NOTHING]
        numbers = np.searchsorted(self._firsts, wanted, side="right") - 1
        places = wanted - self._firsts[numbers]
        for number, place in zip(numbers.tolist(), places.tolist(), strict=True):
            yield self._shards[number], place
            self._done_with(self._shards[number])

    def _position(self, name: str) -> int:
        """Return the position of an id: shards are in ascending order of ids, and so are the ids in each."""
        wanted = name.encode("utf-8", "surrogatepass")
        low, high = 0, len(self._shards)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._first_id(middle) <= wanted else (low, middle)
        place = self._shards[low].ids.find(name)
        self._done_with(self._shards[low])
        return NOTHING if place < 0 else int(self._firsts[low]) + place

    def _first_id(self, number: int) -> bytes:
        first = self._shards[number].ids.raw(0)
        self._done_with(self._shards[number])
        return first

    def _candidates(self, queries: Vectors, count: int) -> list[Positions]:
        """For each query positions that every graph holds to be among its best."""
        found: list[list[Positions]] = [[] for _ in queries]
        settings = self.manifest.graph
        if settings is None:
            return [np.arange(len(self)) for _ in queries]
        for number, graph in enumerate(self._graphs):
            first = int(self._firsts[number * settings.shards])
            for row, keys in enumerate(_asked(graph, settings.storage, queries, count)):
                found[row].append(keys + first)
        return [np.sort(np.concatenate(parts)) for parts in found]

    def _best(self, queries: Vectors, k: int, candidates: Sequence[Positions]) -> Hits:
        """Return the best of each query's candidates, by their vectors."""
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        positions = np.full((len(queries), k), NOTHING, dtype=np.int64)
        for row, (query, among) in enumerate(zip(queries, candidates, strict=True)):
            found = _Best(1, k)
            found.add((self.vectors(among) @ query)[None, :], among)
            scores[row], positions[row] = found.scores[0], found.positions[0]
        return Hits(scores, positions)


class _Best:
    """The k best so far of some queries."""

    def __init__(self, queries: int, k: int) -> None:
        self.scores = np.full((queries, k), -np.inf, dtype=np.float32)
        self.positions: Positions = np.full((queries, k), NOTHING, dtype=np.int64)

    def add(self, scores: NDArray[np.float32], where: int | Positions) -> None:
        """Merge the scores (queries, passages) of passages that begin at a position, or that lie at positions.

        Positions at which passages lie must ascend: of equal scores the last one stays.
        """
        k = self.scores.shape[1]
        at = np.arange(where, where + scores.shape[1]) if isinstance(where, int) else where
        if scores.shape[1] > k:
            columns = _largest(scores, k)
            scores, places = np.take_along_axis(scores, columns, axis=1), at[columns]
        else:
            places = np.broadcast_to(at, scores.shape)
        merged = np.concatenate([self.scores, scores], axis=1)
        positions = np.concatenate([self.positions, places], axis=1)
        order = np.lexsort((-positions, -merged), axis=-1)[:, :k]
        self.scores = np.take_along_axis(merged, order, axis=1)
        self.positions = np.take_along_axis(positions, order, axis=1)


def _largest(scores: NDArray[np.float32], k: int) -> Positions:
    """Return the columns of each row's k largest scores, in no order; of equal ones at the cut those further right."""
    cut = scores.shape[1] - k
    columns = np.argpartition(scores, cut, axis=1)[:, cut:]
    least = np.take_along_axis(scores, columns, axis=1).min(axis=1)
    for row in np.flatnonzero(np.count_nonzero(scores >= least[:, None], axis=1) > k):
        columns[row] = np.lexsort((np.arange(scores.shape[1]), scores[row]))[-k:]
    return columns


def _pieces(queries: Vectors) -> list[Vectors]:
    return [queries[start : start + _QUERIES] for start in range(0, max(1, len(queries)), _QUERIES)]


def _asked(graph: Any, storage: Storage, queries: Vectors, count: int) -> list[Positions]:
    """Return what a graph gives for each query: keys, which are positions counted from the graph's first passage."""
    matches = graph.search(for_graph(queries, storage), min(count, len(graph)), threads=1)
    if len(queries) == 1:  # usearch then leaves out the first dimension
        return [matches.keys.astype(np.int64)]
    return [row[:length].astype(np.int64) for row, length in zip(matches.keys, matches.counts.tolist(), strict=True)]


class _InTurn:
    """The graphs of an index, each of them open while it is asked and no longer."""

    def __init__(self, directory: Path, manifest: IndexManifest) -> None:
        self._directory = directory
        self._manifest = manifest

    def __iter__(self) -> Iterator[Any]:
        for number in range(_graphs_of(self._manifest)):
            yield _graph(self._directory / graph_name(number), self._manifest)


def open_index(
    directory: Path, model_digest: str | None = None, *, verify: bool = False, frugal: bool = False
) -> Index:
    """Open the index in a folder.

    Args:
        directory: an index version, as the registry or `ranklift index` wrote it.
        model_digest: of the encoder that will embed the queries. An index of another model is refused: its vectors
            and the queries' could not be compared. None only for looking at an index without a model.
        verify: read every byte first and compare it with the manifest.
        frugal: give memory back after each file, so that an index of any size takes that of one shard and one graph:
            for a pass over all of it. A search that is repeated is slower.

    Raises:
        DataError: when the folder holds no index, or its manifest is damaged.
        StoreError: when it is the index of another model, or a file of it is missing or damaged.
    """
    manifest = IndexManifest.of(directory)
    if model_digest is not None and manifest.model.digest != model_digest:
        raise StoreError(
            f"{directory} is the index of model {manifest.model.version or 'without a version'} "
            f"({manifest.model.digest[:12]}…), and the queries would come from {model_digest[:12]}…: scores of two "
            "models cannot be compared; make an index with the model that serves, with `ranklift index`."
        )
    for name, sha256 in manifest.files.items():
        if not (directory / name).is_file():
            raise StoreError(f"{directory} is not a complete index: {name} is missing; download or make it again.")
        if verify:
            check_file(directory / name, sha256, str(directory / name))
    shards = [_shard(directory, manifest, number) for number in range(len(manifest.shards))]
    graphs: Iterable[Any] = _InTurn(directory, manifest)
    return Index(directory, manifest, shards, graphs if frugal else list(graphs), frugal)


def _graphs_of(manifest: IndexManifest) -> int:
    return len(manifest.graph.sha256) if manifest.graph is not None else 0


def _shard(directory: Path, manifest: IndexManifest, number: int) -> Shard:
    path = directory / shard_name(number)
    shard, entry = Shard(path), manifest.shards[number]
    expected = (entry.passages, manifest.dimension, entry.content, manifest.model.digest)
    if (len(shard), shard.dimension, shard.content, shard.model_digest) != expected:
        raise StoreError(f"{path} is not the shard that {INDEX} describes; download or make the index again.")
    return shard


def _graph(path: Path, manifest: IndexManifest) -> Any:
    graph = open_graph(path, manifest)
    if graph.ndim != manifest.dimension:
        raise StoreError(f"{path} is not a graph of {INDEX}'s vectors; download or make the index again.")
    return graph
