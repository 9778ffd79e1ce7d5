"""The graphs of an index (HNSW, by usearch): built from shards, saved, and mapped for searching.

The vectors in a graph are int8 or float16 and serve to walk it alone: what a search finds is scored again with the
shards' vectors. A key in a graph is a passage's position, counted from the graph's first passage.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.errors import StoreError
from components.model.served import Similarity
from components.search.shard import Shard, Vectors
from components.search.version import Graph, IndexManifest, Storage

_KINDS = {"float32": "f32", "float16": "f16", "int8": "i8"}
_LARGEST = 127
_ROWS = 8192  # vectors that are added at once
_MOSTLY = 0.7  # of the passages must be in a previous graph: beyond that many changes a new one is better and as fast
_ASIDE = 1 << 40

Positions = NDArray[np.int64]


class Former(NamedTuple):
    """A graph of the previous index, to go on from."""

    path: Path
    held: Positions  #: for each passage of the new graph its key in this one, -1 where it is not there


def new_graph(dimension: int, similarity: Similarity, settings: Graph) -> Any:
    """Return an empty graph.

    In int8 every vector has its own scale, which cosine does not see and an inner product would: only models that
    compare by cosine have such graphs.
    """
    from usearch.compiled import MetricKind
    from usearch.index import Index

    if similarity == "dot" and settings.storage == "int8":
        raise ValueError("a graph of a model that compares by dot product cannot be int8")
    return Index(
        ndim=dimension,
        metric=MetricKind.Cos if similarity == "cosine" else MetricKind.IP,
        dtype=_KINDS[settings.storage],
        connectivity=settings.connectivity,
        expansion_add=settings.expansion_add,
        expansion_search=settings.expansion_search,
    )


def open_graph(path: Path, manifest: IndexManifest) -> Any:
    """Return a graph's file, mapped.

    Raises:
        StoreError: when the file is no graph.
    """
    settings = manifest.graph
    if settings is None:
        raise StoreError(f"{path.parent.parent} has no graph: its search is exact.")
    graph = new_graph(manifest.dimension, manifest.similarity, settings)
    try:
        graph.view(str(path))
    except RuntimeError as error:
        raise StoreError(f"{path} is not a graph of an index ({error}); download or make the index again.") from error
    graph.expansion_search = settings.expansion_search
    return graph


def for_graph(vectors: Vectors, storage: Storage) -> NDArray[Any]:
    """Vectors in the graph's kind of number.

    In int8 each is scaled by its own largest component: usearch would keep a seventh of the steps of a unit vector.
    """
    if storage == "float32":
        return vectors
    if storage == "float16":
        return vectors.astype(np.float16)
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0.0)
    return np.rint(vectors * (_LARGEST / np.where(largest > 0, largest, 1))).astype(np.int8)


def build_graph(
    shards: Sequence[Shard], similarity: Similarity, settings: Graph, threads: int, former: Former | None = None
) -> Any:
    """Return a graph of the passages of some shards that follow each other; its memory is that of these shards.

    Args:
        shards: whose passages it holds.
        similarity: how vectors are compared.
        settings: see `Graph`.
        threads: that build it.
        former: a graph to go on from, where most of the passages are in it.
    """
    count = sum(len(shard) for shard in shards)
    graph = new_graph(shards[0].dimension, similarity, settings)
    missing = _taken_over(graph, former, count) if former is not None else np.arange(count)
    first = 0
    for shard in shards:
        places = missing[(missing >= first) & (missing < first + len(shard))] - first
        for start in range(0, len(places), _ROWS):
            rows = places[start : start + _ROWS]
            vectors = for_graph(shard.vectors(rows), settings.storage)
            graph.add(first + rows, vectors, copy=True, threads=threads)
        first += len(shard)
        shard.release()
    return graph


def _taken_over(graph: Any, former: Former, count: int) -> Positions:
    """Make a previous graph the beginning of a new one; returns the passages that it lacks."""
    inside = np.flatnonzero(former.held >= 0)
    keys, first = np.unique(former.held[inside], return_index=True)  # two equal texts are in the previous graph once
    places = inside[first]
    if len(places) < _MOSTLY * count:
        return np.arange(count)
    try:
        graph.load(str(former.path))
    except RuntimeError as error:
        raise StoreError(f"{former.path} is not a graph of an index ({error}); make the index without it.") from error
    graph.remove(np.setdiff1d(np.arange(len(graph)), keys))
    graph.rename(keys, keys + _ASIDE)  # in two steps: a new key may still be the old one of another passage
    graph.rename(keys + _ASIDE, places)
    return np.setdiff1d(np.arange(count), places)
