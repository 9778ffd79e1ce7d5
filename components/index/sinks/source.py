"""An index version as a database takes it."""

from collections.abc import Iterator

from components.index.sinks.publish import Probes
from components.index.sinks.sink import Content, Hits, Passages
from components.search.reader import NOTHING, Index, Positions
from components.search.shard import Vectors

_AT_ONCE = 2048  # passages: 3 MB of float32 at dimension 384


def content_of(index: Index, version: str) -> Content:
    """Return what a database notes about an index version, which the registry calls by this name."""
    manifest = index.manifest
    return Content(
        version=version,
        digest=manifest.digest,
        model_version=manifest.model.version or manifest.model.digest[:12],
        model_digest=manifest.model.digest,
        dimension=manifest.dimension,
        count=manifest.count,
    )


def passages_of(index: Index) -> Iterator[Passages]:
    """All passages, block by block, so that memory does not grow with the index."""
    for shard in index.shards:
        for start in range(0, len(shard), _AT_ONCE):
            places = range(start, min(start + _AT_ONCE, len(shard)))
            texts = None if shard.texts is None else [shard.texts[place] for place in places]
            yield Passages([shard.ids[place] for place in places], shard.vectors(slice(start, places.stop)), texts)


def probes_of(index: Index, queries: Vectors, depth: int) -> Probes:
    """Return queries and what an exact search finds for them; `queries` come through `comparable`."""
    found = index.search_exactly(queries, min(depth, len(index)))
    return Probes(queries, [_named(index, *row) for row in zip(found.positions, found.scores, strict=True)])


def _named(index: Index, positions: Positions, scores: Vectors) -> Hits:
    return list(zip(index.ids(positions), scores[positions != NOTHING].tolist(), strict=True))
