"""The engines that `index_engines.py` compares: how each is built, kept, opened and asked."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

CONNECTIVITY, EXPANSION_ADD = 16, 128
THREADS = os.cpu_count() or 1


class Engine(NamedTuple):
    """One library with one storage: how it is built, saved, opened and asked."""

    build: Callable[[Any], Any]
    save: Callable[[Any, str], None]
    open: Callable[[str], Any]
    ask: Callable[[Any, Any, int, int], Any]  #: (index, queries, k, candidates) → positions
    mapped: bool = True


def usearch(storage: str) -> Engine:
    """USearch, whose file is mapped."""
    from usearch.index import Index

    def new(dimension: int) -> Any:
        return Index(
            ndim=dimension, metric="cos", dtype=storage, connectivity=CONNECTIVITY, expansion_add=EXPANSION_ADD
        )

    def kind(vectors: Any) -> Any:
        if storage == "i8":
            return np.rint(vectors * (127 / np.abs(vectors).max(axis=1, keepdims=True))).astype(np.int8)
        return vectors.astype(np.float16) if storage == "f16" else vectors

    def build(vectors: Any) -> Any:
        index = new(vectors.shape[1])
        for start in range(0, len(vectors), 8192):
            block = np.asarray(vectors[start : start + 8192])
            index.add(np.arange(start, start + len(block)), kind(block), threads=THREADS)
        return index

    def opened(path: str) -> Any:
        index = new(384)
        index.view(path)
        return index

    def ask(index: Any, queries: Any, k: int, candidates: int) -> Any:
        index.expansion_search = candidates
        return index.search(kind(queries), k, threads=1).keys

    return Engine(build, lambda index, path: index.save(path), opened, ask)


def faiss(storage: str) -> Engine:
    """FAISS: the same graph, over floats or over eight bits a component; its graph is read, its vectors are mapped."""
    import faiss

    def build(vectors: Any) -> Any:
        faiss.omp_set_num_threads(THREADS)
        dimension, metric = vectors.shape[1], faiss.METRIC_INNER_PRODUCT
        kinds = {"i8": faiss.ScalarQuantizer.QT_8bit, "f16": faiss.ScalarQuantizer.QT_fp16}
        if storage == "f32":
            index = faiss.IndexHNSWFlat(dimension, CONNECTIVITY, metric)
        else:
            index = faiss.IndexHNSWSQ(dimension, kinds[storage], CONNECTIVITY, metric)
            index.train(np.array(vectors[:20_000]))
        index.hnsw.efConstruction = EXPANSION_ADD
        for start in range(0, len(vectors), 8192):
            index.add(np.array(vectors[start : start + 8192]))
        return index

    def ask(index: Any, queries: Any, k: int, candidates: int) -> Any:
        faiss.omp_set_num_threads(1)
        index.hnsw.efSearch = candidates
        return index.search(np.array(queries), k)[1]

    def opened(path: str) -> Any:
        return faiss.read_index(path, faiss.IO_FLAG_MMAP_IFC)

    return Engine(build, faiss.write_index, opened, ask)


def hnswlib() -> Engine:
    """hnswlib: floats alone, and the file is read whole."""
    import hnswlib as library

    def build(vectors: Any) -> Any:
        index = library.Index(space="ip", dim=vectors.shape[1])
        index.init_index(max_elements=len(vectors), ef_construction=EXPANSION_ADD, M=CONNECTIVITY)
        index.set_num_threads(THREADS)
        for start in range(0, len(vectors), 8192):
            index.add_items(np.array(vectors[start : start + 8192]))
        return index

    def opened(path: str) -> Any:
        index = library.Index(space="ip", dim=384)
        index.load_index(path)
        return index

    def ask(index: Any, queries: Any, k: int, candidates: int) -> Any:
        index.set_num_threads(1)
        index.set_ef(max(k, candidates))
        return index.knn_query(queries, k)[0]

    return Engine(build, lambda index, path: index.save_index(path), opened, ask, mapped=False)


ENGINES: dict[str, Callable[[], Engine]] = {
    "usearch-i8": lambda: usearch("i8"),
    "usearch-f16": lambda: usearch("f16"),
    "faiss-i8": lambda: faiss("i8"),
    "faiss-f16": lambda: faiss("f16"),
    "hnswlib-f32": hnswlib,
}
