"""Several workers make one index: a plan first, then each worker the shards of its range, then all of it is joined.

Every shard is kept in the registry as soon as it is finished, under the number that the plan claimed, and written once.
A worker that is killed goes on at the first shard of its range that is missing.
"""

import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

from components.errors import DataError
from components.evaluate.progress import ProgressLog
from components.index.embed import ShardMaker, Sources, told_of
from components.index.keeper import StoreKeeper
from components.index.options import IndexOptions
from components.index.plan import PLAN, IndexPlan, keep_corpus, read_plan
from components.index.previous import newest_index, opened_index
from components.index.stage import Given, Opened, plan_of, read_corpus
from components.machine.scratch_folder import scratch_folder
from components.model.encoder import Encoder
from components.records.decision import Decision
from components.registry.registry import Registry
from components.registry.succession import check_succession
from components.registry.version import key_of
from components.search.version import shard_name
from components.stage import tell


class Worker(NamedTuple):
    """One of several."""

    number: int  #: from 0
    of: int  #: how many there are

    def shards(self, passages: int, shard_size: int) -> range:
        """Return the shards that are this worker's: all workers together have each shard once."""
        count = -(-passages // shard_size)
        return range(self.number * count // self.of, (self.number + 1) * count // self.of)


def plan_index(
    given: Given,
    decision: Decision,
    registry: Registry,
    options: IndexOptions,
    folder: Path,
    *,
    home: Path,
    work: Path,
) -> IndexPlan:
    """Sort the corpus once for all workers, and claim the number of its index.

    Model, queries and corpus are checked here, before any worker starts.

    Args:
        given: the model, its version, the corpus and the dataset.
        decision: that allows the promotion.
        registry: where the index is kept.
        options: see `IndexOptions`.
        folder: of the plan, to be made.
        home: ranklift's data folder.
        work: a folder with room for the corpus twice.

    Raises:
        RankliftError: when something cannot be used, or the model may not become champion any more.
    """
    check_succession(decision, registry.champion(), given.model_version)
    opened = Opened.of(given, options)
    work.mkdir(parents=True, exist_ok=True)
    with scratch_folder(work, ".ranklift-") as scratch:
        previous = newest_index(registry, opened.encoder.digest)
        held = opened_index(registry, previous, opened.encoder.digest, home, scratch / "previous")
        corpus = read_corpus(opened, scratch, held)
        digest = plan_of(opened, corpus)
        plan = IndexPlan(
            index=registry.claim_index(digest),
            plan=digest,
            model_digest=opened.encoder.digest,
            corpus_digest=corpus.digest,
            sorted_sha256=keep_corpus(corpus, folder),
            dropped=corpus.dropped,
            previous=previous,
        )
        plan.write(folder / PLAN)
    tell("index", f"{corpus.count:,} passages become index {plan.index}")
    return plan


def embed_range(
    model: Path, folder: Path, registry: Registry, options: IndexOptions, worker: Worker, *, home: Path, work: Path
) -> int:
    """Make the shards of a worker's range that are not in the registry yet; returns how many passages it embedded.

    Args:
        model: that was planned with.
        folder: of the plan.
        registry: where the shards are kept.
        options: those of the plan.
        worker: which range.
        home: ranklift's data folder.
        work: a folder with room for a shard, and for the previous index.

    Raises:
        RankliftError: when something cannot be used, written or kept.
    """
    plan, encoder = read_plan(folder), Encoder.open(model)
    if encoder.digest != plan.model_digest:
        raise DataError(
            f"{model} has digest {encoder.digest[:12]}…, and the plan of index {plan.index} is of "
            f"{plan.model_digest[:12]}…; run the pipeline again."
        )
    work.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with scratch_folder(work, ".ranklift-") as scratch:
        held = opened_index(registry, plan.previous, encoder.digest, home, scratch / "previous")
        corpus = plan.corpus_in(folder, scratch, held)
        shards = worker.shards(corpus.count, options.shard_size)
        tell("index", f"worker {worker.number + 1} of {worker.of} has {len(shards)} shards of index {plan.index}")
        keeper = StoreKeeper(registry.store, key_of("index", plan.index, ""))
        progress = ProgressLog(partial(tell, "index"))
        maker = ShardMaker(Sources(encoder, corpus, held), scratch / "index", options, keeper, progress)
        for number, _ in zip(shards, maker.each(shards), strict=True):
            (scratch / "index" / shard_name(number)).unlink()  # the registry has it
    tell("index", told_of(*maker.counts, time.perf_counter() - started))
    return maker.counts[0]
