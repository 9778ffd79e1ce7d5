"""The graphs of an index (HNSW, by usearch): built from shards, saved, and mapped for searching.

The vectors in a graph are int8 or float16 and serve to walk it alone: what a search finds is scored again with the
shards' vectors. A key in a graph is a passage's position, counted from the graph's first passage.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.errors import StoreError
from components.index.shard import Shard, Vectors
from components.index.version import Graph, IndexManifest, Storage
from components.model.served import Similarity

_KINDS = {"float32": "f32", "float16": "f16", "int8": "i8"}
_LARGEST = 127
_ROWS = 8192  # vectors that are added at once


def new_graph(dimension: int, similarity: Similarity, settings: Graph) -> Any:
    """Return an empty graph.

    In int8 every vector has a scale of its own, which cosine does not see and an inner product would: only models that
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


def build_graph(shards: Sequence[Shard], similarity: Similarity, settings: Graph, threads: int) -> Any:
    """Return a graph of the passages of some shards that follow each other; its memory is that of these shards."""
    graph = new_graph(shards[0].dimension, similarity, settings)
    first = 0
    for shard in shards:
        for start in range(0, len(shard), _ROWS):
            vectors = shard.vectors(slice(start, start + _ROWS))
            keys = np.arange(first + start, first + start + len(vectors))
            graph.add(keys, for_graph(vectors, settings.storage), copy=True, threads=threads)
        first += len(shard)
    return graph
