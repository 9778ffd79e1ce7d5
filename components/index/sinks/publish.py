"""Put an index version into a database: fill beside what serves, verify against the live database, then switch."""

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from components.index.options import MIN_RECALL
from components.index.sinks.sink import Content, Hits, Passages, Sink, SinkError
from components.search.shard import Vectors

_TIE = 1e-5  # two float32 sums of one product, in another order
Tell = Callable[[str], None]


class Probes(NamedTuple):
    """Queries whose nearest passages are known from an exact search of the same vectors."""

    queries: Vectors
    exact: Sequence[Hits]


class Bounds(NamedTuple):
    """What a database must reach before readers are sent to it."""

    least_recall: float = MIN_RECALL
    depth: int = 10


class Published(NamedTuple):
    """What became of a version in a database."""

    version: str
    before: str | None  #: what readers saw, and what a rollback goes back to
    recall: float
    filled: bool  #: whether it was not there yet


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def publish(
    sink: Sink,
    content: Content,
    passages: Iterable[Passages],
    probes: Probes,
    *,
    bounds: Bounds | None = None,
    tell: Tell = _tell,
) -> Published:
    """Have readers of a database see an index version; the previous version stays for a rollback.

    A version that is there already, whole and with the same digest, is verified again and not filled again: so a
    rollback is the same call.

    Args:
        sink: the database.
        content: which version it is.
        passages: all of its passages, in blocks; read only when they have to be put there.
        probes: queries to verify with.
        bounds: what the database must reach; the defaults when None.
        tell: shows one line of progress.

    Raises:
        SinkError: with what failed; readers see what they saw before.
    """
    bounds = bounds or Bounds()
    before = None
    try:
        before = sink.current()
        filled = _filled(sink, content, passages, tell)
        recall = verify(sink, content, probes, bounds)
        tell(f"sink: {content.version} in {sink.place} has recall@{bounds.depth} {recall:.4f}")
        if before != content.version:
            sink.switch(content)
    except SinkError as error:
        raise SinkError(f"{error} {_stays(before)}") from error
    _remove_older(sink, {content.version, before}, tell)
    tell(f"sink: readers of {sink.place} see {content.version}")
    return Published(content.version, before, recall, filled)


def verify(sink: Sink, content: Content, probes: Probes, bounds: Bounds) -> float:
    """Search and count in the live database; returns the recall against the exact search.

    Raises:
        SinkError: when a bound is missed, with both numbers.
    """
    counted = sink.count(content)
    if counted != content.count:
        raise SinkError(f"{sink.place} holds {counted} passages of {content.version} where {content.count} belong.")
    found = sink.search(content, probes.queries, min(bounds.depth, content.count))
    recall = recall_of(found, probes.exact, bounds.depth)
    if recall < bounds.least_recall:
        raise SinkError(
            f"{sink.place} finds {recall:.4f} of the {bounds.depth} nearest passages of {content.version} where "
            f"{bounds.least_recall} is required; raise ef_search in the sink's URI, and in your queries."
        )
    return recall


def recall_of(found: Sequence[Hits], exact: Sequence[Hits], depth: int) -> float:
    """Return the share of the exact search's first `depth` that was found; equal similarity counts as found."""
    right = wanted = 0
    for hits, best in zip(found, exact, strict=True):
        nearest = best[:depth]
        if not nearest:
            continue
        ids, floor = {name for name, _ in nearest}, nearest[-1][1] - _TIE
        wanted += len(nearest)
        right += sum(name in ids or score >= floor for name, score in hits[: len(nearest)])
    return right / wanted if wanted else 1.0


def _filled(sink: Sink, content: Content, passages: Iterable[Passages], tell: Tell) -> bool:
    there = sink.stored().get(content.version)
    if there == content:
        return False
    if there is not None:
        raise SinkError(
            f"{sink.place} has a {content.version} of another registry ({there.digest[:12]}…, not "
            f"{content.digest[:12]}…); set another name in the sink's URI (?name=…)."
        )
    sink.begin(content)
    done = 0
    for block in passages:
        _check(block, content)
        sink.add(content, block)
        done += len(block.ids)
        tell(f"sink: {done} of {content.count} passages are in {sink.place}")
    sink.finish(content)
    return True


def _check(block: Passages, content: Content) -> None:
    if block.vectors.shape != (len(block.ids), content.dimension):
        raise SinkError(
            f"{content.version} has vectors of shape {block.vectors.shape} for {len(block.ids)} passages, where "
            f"{content.dimension} numbers each belong; build the index again."
        )


def _stays(before: str | None) -> str:
    return f"Nothing was switched: readers see {before}." if before else "Nothing was switched."


def _remove_older(sink: Sink, keep: set[str | None], tell: Tell) -> None:
    """Remove what neither serves nor is gone back to; what cannot be removed now is removed after the next switch."""
    with suppress(SinkError):
        for version in sink.stored().keys() - keep:
            try:
                sink.remove(version)
            except SinkError as error:
                tell(f"sink: {version} stays for now: {error}")
