"""Small whole indexes, for tests of whoever reads one."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from components.machine.digest import file_sha256, records_sha256
from components.model.encoder import Encoder, comparable
from components.search.graph import for_graph, new_graph
from components.search.shard import HASH_BYTES, Passages, content_hash, shard_bytes
from components.search.version import (
    INDEX,
    Build,
    Graph,
    IndexedCorpus,
    IndexedModel,
    IndexManifest,
    ShardEntry,
    graph_name,
    shard_name,
)

MODEL = "a" * 64


def make_index(directory: Path, vectors, ids, texts=None, *, shard_size=4, storage="float16", graph=None, model=MODEL):
    """Write an index of some vectors whose ids ascend; `graph` is the storage of its graphs, exact when None."""
    entries = []
    directory.mkdir(parents=True)
    (directory / "shards").mkdir()
    kept = texts or [""] * len(ids)
    for number, start in enumerate(range(0, len(ids), shard_size)):
        rows = slice(start, start + shard_size)
        content = records_sha256(word for pair in zip(ids[rows], kept[rows], strict=True) for word in pair)
        hashes = np.frombuffer(b"".join(map(content_hash, kept[rows])), np.uint8).reshape(-1, HASH_BYTES)
        metadata = {"content": content, "model": model}
        passages = Passages(ids[rows], hashes, texts[rows] if texts else None)
        data = shard_bytes(vectors[rows], passages, storage, metadata)
        path = directory / shard_name(number)
        path.write_bytes(data)
        entries.append(ShardEntry(passages=len(ids[rows]), content=content, sha256=file_sha256(path)))
    manifest = IndexManifest(
        model=IndexedModel(version="V0", digest=model),
        corpus=IndexedCorpus(source="a test", digest=records_sha256([*ids, *kept]), passages=len(ids)),
        similarity="cosine",
        dimension=vectors.shape[1],
        storage=storage,
        has_texts=texts is not None,
        shard_size=shard_size,
        shards=entries,
        graph=_graphs(directory, vectors, shard_size, graph) if graph else None,
        build=Build(embedded=len(ids), copied=0, seconds=0.0),
    )
    manifest.write(directory / INDEX)
    return manifest


def index_of(directory: Path, encoder: Encoder, corpus: Mapping[str, str], **options):
    """Write the index of a small corpus by a real encoder."""
    ids = sorted(corpus)
    texts = [corpus[name] for name in ids]
    vectors = comparable(encoder.encode_documents(texts), encoder.config)
    return make_index(directory, vectors, ids, texts, model=encoder.digest, **options)


def _graphs(directory: Path, vectors, shard_size: int, storage: str) -> Graph:
    settings = Graph(storage=storage, shards=2, connectivity=16, expansion_add=64, expansion_search=64, sha256=[])
    (directory / "graphs").mkdir()
    digests = []
    for number, start in enumerate(range(0, len(vectors), 2 * shard_size)):
        graph = new_graph(vectors.shape[1], "cosine", settings)
        rows = vectors[start : start + 2 * shard_size]
        graph.add(np.arange(len(rows)), for_graph(rows, storage))
        graph.save(str(directory / graph_name(number)))
        digests.append(file_sha256(directory / graph_name(number)))
    return settings.model_copy(update={"sha256": digests})
