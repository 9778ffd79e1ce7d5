"""Index: embed a corpus with a model, build what searches it, and prove that it finds what it should."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from components.dataset.manifest import DEFAULT_SPLIT
from components.errors import DataError
from components.evaluate.progress import ProgressLog
from components.index.corpus import SortedCorpus, sort_corpus
from components.index.embed import Embedded, Held, ShardMaker, Sources, told_of
from components.index.keeper import FolderKeeper, Keeper
from components.index.options import DATASET, IndexOptions
from components.index.sources import corpus_passages
from components.index.verification import Judgement, MissedBoundError, judgement, verify_index
from components.machine.digest import file_sha256, records_sha256
from components.machine.freed_memory import give_back
from components.machine.processor import available_cpus
from components.machine.scratch_folder import scratch_folder
from components.machine.system_faults import system_sentence
from components.model.encoder import Encoder
from components.registry.version import code_version
from components.search.graph import Former, build_graph
from components.search.reader import Index, open_index
from components.search.shard import Shard
from components.search.version import (
    GRAPHS,
    INDEX,
    SHARDS,
    Build,
    Graph,
    IndexedCorpus,
    IndexedModel,
    IndexManifest,
    Storage,
    graph_name,
    shard_name,
)
from components.stage import tell

_SEARCHES = (64, 128, 256)  # candidates that a search keeps: as few as pass the verification


class Given(NamedTuple):
    """What an index is made of."""

    model: Path  #: an exported model
    corpus: str  #: a URI, or `DATASET`
    dataset: Path | None = None  #: whose queries verify the index, and whose corpus `DATASET` is
    split: str = DEFAULT_SPLIT  #: which qrels, where the dataset is a BEIR folder
    model_version: str = ""  #: such as "V3"
    judged_ndcg: float | None = None  #: NDCG@10 of the model on the dataset by exact search, as the gate saw it


class Opened(NamedTuple):
    """Everything that is checked before the first slow step."""

    given: Given
    encoder: Encoder
    asked: Judgement | None
    options: IndexOptions

    @classmethod
    def of(cls, given: Given, options: IndexOptions) -> "Opened":
        """Open the model and the queries.

        Raises:
            RankliftError: when one of them cannot be used.
        """
        if given.corpus == DATASET and given.dataset is None:
            raise DataError("The corpus is that of the dataset, and no dataset is named; give --data DATASET.")
        encoder = Encoder.open(given.model)
        judged = given.judged_ndcg if given.corpus == DATASET else None
        asked = judgement(encoder, given.dataset, options, judged, given.split) if given.dataset else None
        return cls(given, encoder, asked, options)


def read_corpus(opened: Opened, scratch: Path, former: Index | None = None) -> SortedCorpus:
    """Return the corpus in the order of an index, with what the previous index holds of it."""
    with _full_disk():
        passages = corpus_passages(opened.given.corpus, opened.given.dataset, scratch)
        corpus = sort_corpus(passages, scratch, former.hashes() if former is not None else ())
    left_out = ", ".join(f"{count:,} {reason} rows left out" for reason, count in corpus.dropped.items())
    tell("index", f"{corpus.count:,} passages{f', {left_out}' if left_out else ''}")
    return corpus


def plan_of(opened: Opened, corpus: SortedCorpus) -> str:
    """Return the digest of everything that determines an index: the same plan goes on with what an earlier one left."""
    options = opened.options.model_dump_json(exclude={"min_recall", "max_ndcg_drop", "queries"})
    return records_sha256([opened.encoder.digest, corpus.digest, options])


def make_index(
    opened: Opened, corpus: SortedCorpus, folder: Path, keeper: Keeper, former: Index | None = None
) -> IndexManifest:
    """Make an index in a folder, verify it, and write its manifest last.

    Args:
        opened: model, queries and options.
        corpus: in order.
        folder: of the index.
        keeper: keeps each file as soon as it is finished.
        former: an index of the same model, to copy from.

    Raises:
        MissedBoundError: when it finds less than the options demand; the folder then has no manifest.
        RankliftError: when something cannot be used, written or kept.
    """
    started = time.perf_counter()
    with _full_disk():
        sources = Sources(opened.encoder, corpus, former)
        made = ShardMaker(sources, folder, opened.options, keeper, ProgressLog(partial(tell, "index"))).make()
        tell("index", told_of(made.embedded, made.copied, made.found, time.perf_counter() - started))
        # Whoever made the shards, this attempt, an earlier one or a worker: they copied what the previous index has.
        copied = int((made.held >= 0).sum()) if former is not None else 0
        build = Build(
            embedded=corpus.count - copied,
            copied=copied,
            previous=former.manifest.corpus.digest[:12] if former is not None else "",
            seconds=round(time.perf_counter() - started, 3),
            code_version=code_version() or "",
        )
        manifest = _verified(_manifest(opened, corpus, made, build), opened, folder, _Start(former, made.held))
        for name in manifest.files:
            if not name.startswith("shards/"):
                keeper.keep(name, folder / name)
        keeper.keep(INDEX, folder / INDEX)
    return IndexManifest.of(folder)


def index_into(given: Given, folder: Path, options: IndexOptions, former: Path | None = None) -> IndexManifest:
    """Make an index in a folder; resume an unfinished index there.

    Args:
        given: model, corpus and dataset.
        folder: new, or left by a run of the same that was stopped.
        options: see `IndexOptions`.
        former: the folder of an index of the same model, to copy from.

    Raises:
        DataError: when the folder holds something else, or a whole index.
        MissedBoundError: when the index finds too little.
        RankliftError: when something cannot be used, written or kept.
    """
    _check_folder(folder)
    opened = Opened.of(given, options)
    held = open_index(former, opened.encoder.digest, frugal=True) if former is not None else None
    with _full_disk():
        folder.mkdir(parents=True, exist_ok=True)
        with scratch_folder(folder, ".ranklift-") as scratch:
            return make_index(opened, read_corpus(opened, scratch, held), folder, FolderKeeper(), held)


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file; name a new folder.")
    there = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if INDEX in there:
        raise DataError(f"{folder} holds a whole index, which is never overwritten; name a new folder.")
    if strange := sorted(name for name in there - {SHARDS, GRAPHS} if not name.startswith(".")):
        raise DataError(f"{folder} holds {strange[0]}, which is of no index; name a new folder.")


def _manifest(opened: Opened, corpus: SortedCorpus, made: Embedded, build: Build) -> IndexManifest:
    given, config, options = opened.given, opened.encoder.config, opened.options
    return IndexManifest(
        model=IndexedModel(version=given.model_version, digest=opened.encoder.digest),
        corpus=IndexedCorpus(source=given.corpus, digest=corpus.digest, passages=corpus.count, dropped=corpus.dropped),
        similarity=config.similarity,
        dimension=config.dimension,
        storage=options.storage,
        has_texts=options.texts > 0,
        shard_size=options.shard_size,
        shards=made.shards,
        build=build,
    )


class _Start(NamedTuple):
    """What graphs may go on from."""

    former: Index | None
    held: Held

    def graph(self, number: int, settings: Graph, options: IndexOptions) -> Former | None:
        """Return the previous index's graph of the same place, where it was built in the same way."""
        if self.former is None or self.former.manifest.graph is None:
            return None
        manifest = self.former.manifest
        same = ("storage", "shards", "connectivity", "expansion_add")
        theirs = self.former.manifest.graph
        alike = [getattr(theirs, name) == getattr(settings, name) for name in same]
        if not all(alike) or manifest.shard_size != options.shard_size or number >= len(theirs.sha256):
            return None
        size = options.shard_size * settings.shards
        held = self.held[number * size : (number + 1) * size].astype(np.int64) - number * size
        return Former(self.former.directory / graph_name(number), np.where((held >= 0) & (held < size), held, -1))


def _verified(manifest: IndexManifest, opened: Opened, folder: Path, start: _Start) -> IndexManifest:
    """Write the first manifest that passes: the smallest storage of the graphs, and the least effort of a search."""
    if manifest.count <= opened.options.exact_up_to:
        return _tried(manifest, opened, folder)
    kinds: tuple[Storage, ...] = ("int8", "float16") if manifest.similarity == "cosine" else ("float16", "float32")
    theirs = start.former.manifest.graph if start.former is not None else None
    going_on = [(theirs.storage, start)] if theirs is not None and theirs.storage in kinds else []
    missed = []
    for storage, source in [*going_on, *((kind, None) for kind in kinds)]:
        graphs = _built(manifest, opened.options, storage, folder, source)
        for expansion in _SEARCHES:
            searched = graphs.model_copy(update={"expansion_search": expansion})
            try:
                return _tried(manifest.model_copy(update={"graph": searched}), opened, folder)
            except MissedBoundError as error:
                missed.append(error)
                tell("index", f"with {storage} graphs and {expansion} candidates {error}")
    raise missed[-1]


def _tried(manifest: IndexManifest, opened: Opened, folder: Path) -> IndexManifest:
    manifest.write(folder / INDEX)
    if opened.asked is None:
        return manifest
    try:
        found = verify_index(open_index(folder, opened.encoder.digest, frugal=True), opened.asked, opened.options)
    except MissedBoundError:
        (folder / INDEX).unlink()
        raise
    ndcg = f", NDCG@10 {found.ndcg_index:.4f} (exact {found.ndcg_exact:.4f})" if found.ndcg_index is not None else ""
    tell("index", f"recall@10 {found.recall:.4f} on {found.queries:,} queries{ndcg}")
    manifest = manifest.model_copy(update={"verification": found})
    manifest.write(folder / INDEX)
    return manifest


def _built(
    manifest: IndexManifest, options: IndexOptions, storage: Storage, folder: Path, start: _Start | None
) -> Graph:
    """Build the graphs of all shards, in files, one after the other."""
    settings = Graph(
        storage=storage,
        shards=options.graph_shards,
        connectivity=options.connectivity,
        expansion_add=options.expansion_add,
        expansion_search=_SEARCHES[0],
        sha256=[],
    )
    digests = []
    started = time.perf_counter()
    give_back()  # what the last shard took
    for number, first in enumerate(range(0, len(manifest.shards), options.graph_shards)):
        last = min(first + options.graph_shards, len(manifest.shards))
        shards = [Shard(folder / shard_name(place)) for place in range(first, last)]
        path = folder / graph_name(number)
        path.parent.mkdir(exist_ok=True)
        former = start.graph(number, settings, options) if start is not None else None
        build_graph(shards, manifest.similarity, settings, available_cpus(), former).save(str(path))
        digests.append(file_sha256(path))
        give_back()
    tell("index", f"{len(digests)} {storage} graphs built in {time.perf_counter() - started:.0f} s")
    return settings.model_copy(update={"sha256": digests})


@contextmanager
def _full_disk() -> Iterator[None]:
    """Tell in a sentence what the machine refuses."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        sentence = system_sentence(error)
        if sentence is None:
            raise
        raise DataError(sentence) from error
