"""Several workers make one index: the same files as one stage makes alone, whoever is killed in between."""

import pytest

from components.errors import DataError, StoreError
from components.index import embed, stage
from components.index.options import IndexOptions
from components.index.plan import PLAN, SORTED
from components.index.promote import index_and_promote
from components.index.stage import Given
from components.index.workers import Worker, embed_range, plan_index
from components.model.served import EncoderConfig
from components.promote.promote import promote
from components.registry.registry import open_registry
from components.registry.verify import verify
from components.search.reader import open_index
from tests.components.index.conftest import texts_of, write_corpus
from tests.factories.decisions import make_decision

SMALL = IndexOptions(shard_size=16, graph_shards=2, exact_up_to=0)


@pytest.fixture(autouse=True)
def one_thread_for_graphs(monkeypatch):
    """Several threads add passages to a graph in an order that no run repeats."""
    monkeypatch.setattr(stage, "available_cpus", lambda: 1)


class Run:
    """The stages from promote on, with any number of workers."""

    def __init__(self, registry, model, dataset, folder):
        self.registry, self.model, self.dataset, self.folder = registry, model, dataset, folder
        self.places = {"home": folder / "home", "work": folder / "work"}

    def start(self, corpus):
        champion = self.registry.champion()
        against = champion.digest if champion else "b" * 64
        digest = EncoderConfig.of(self.model).digest
        self.decision = make_decision(candidate_digest=digest, champion_digest=against)
        version = promote(self.model, self.decision, self.registry, awaits_index=True)
        self.given = Given(self.model, str(corpus), self.dataset, model_version=version)

    def plan(self):
        self.planned = self.folder / f"plan-{len(list(self.folder.iterdir()))}"
        return plan_index(self.given, self.decision, self.registry, SMALL, self.planned, **self.places)

    def work(self, number, of, options=SMALL):
        return embed_range(self.model, self.planned, self.registry, options, Worker(number, of), **self.places)

    def join(self, options=SMALL, planned=True):
        plan = self.planned if planned else None
        return index_and_promote(
            self.given, self.decision, self.registry, options, pipeline_run="run", planned=plan, **self.places
        )

    def manifest(self, index):
        self.registry.download("index", index, self.folder / f"copy-{index}")
        return open_index(self.folder / f"copy-{index}", verify=True).manifest


def registry_named(object_store, name):
    return open_registry(object_store.model_copy(update={"bucket": name}))


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus.jsonl", texts_of(100))


@pytest.fixture
def changed(tmp_path):
    """A corpus of which one passage in five is new."""
    return write_corpus(tmp_path / "changed.jsonl", texts_of(80) | texts_of(20, first=500))


@pytest.fixture
def run(registry, exported_tiny_model, dataset, tmp_path, corpus):
    (tmp_path / "shared").mkdir()
    found = Run(registry, exported_tiny_model, dataset, tmp_path / "shared")
    found.start(corpus)
    return found


@pytest.fixture
def alone(object_store, request, exported_tiny_model, dataset, tmp_path, corpus):
    """The same with the whole stage in one piece, in a registry beside."""
    (tmp_path / "alone").mkdir()
    registry = registry_named(object_store, f"alone-{abs(hash(request.node.name)) % 10**8}")
    found = Run(registry, exported_tiny_model, dataset, tmp_path / "alone")
    found.start(corpus)
    return found


@pytest.mark.parametrize(("shards", "workers"), [(7, 1), (7, 3), (2, 5), (1, 3), (100, 7)], ids=str)
def test_worker_shards_are_each_once_in_order(shards, workers):
    ranges = [Worker(number, workers).shards(shards * 16 - 3, 16) for number in range(workers)]
    assert [shard for found in ranges for shard in found] == list(range(shards))
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1


def test_index_of_three_workers_is_that_of_one_stage_file_by_file(run, alone, changed):
    for corpus in (None, changed):  # the second one copies from the first
        if corpus is not None:
            run.start(corpus)
            alone.start(corpus)
        run.plan()
        embedded = [run.work(number, 3) for number in range(3)]
        index = run.join()
        assert alone.join(planned=False) == index
        ours, theirs = run.manifest(index), alone.manifest(index)
        assert (ours.digest, ours.files) == (theirs.digest, theirs.files)
        assert ours.model_copy(update={"build": theirs.build}) == theirs
        assert (ours.build.embedded, ours.build.copied) == (theirs.build.embedded, theirs.build.copied)
        assert ours.build.embedded == sum(embedded) == (100 if corpus is None else 20)
    assert [entry.index for entry in run.registry.champion().history] == ["V0", "V1"]
    assert verify(run.registry).findings == []


def test_join_finds_every_shard_that_the_workers_made(run, capfd):
    run.plan()
    for number in range(3):
        run.work(number, 3)
    capfd.readouterr()
    run.join()
    assert "index: 100 there already in" in capfd.readouterr().err


def test_join_makes_the_shards_of_a_worker_that_never_came(run, alone):
    run.plan()
    run.work(1, 3)
    index = run.join()
    assert run.manifest(index).digest == alone.manifest(alone.join(planned=False)).digest


def test_worker_that_was_killed_goes_on_at_its_first_missing_shard(run, alone, monkeypatch):
    run.plan()
    keep, kept = embed.ShardMaker._make, []

    def killed(self, number, *arguments):
        if len(kept) == 2:
            raise KeyboardInterrupt
        kept.append(number)
        return keep(self, number, *arguments)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(embed.ShardMaker, "_make", killed)
        run.work(1, 2)
    assert kept == [3, 4]
    assert run.work(1, 2) == 20, "of shards 5 and 6 alone, the last of which has 4 passages"
    assert run.work(1, 2) == 0
    run.work(0, 2)
    assert run.manifest(run.join()).digest == alone.manifest(alone.join(planned=False)).digest


def test_workers_that_work_on_the_same_range_keep_each_shard_once(run):
    run.plan()
    assert run.work(0, 2) == 48
    assert run.work(0, 2) == 0


def test_plan_of_a_model_that_may_not_become_champion_claims_nothing(run, exported_tiny_model):
    run.join(planned=False)
    run.decision = make_decision(candidate_digest="c" * 64, champion_digest="d" * 64)
    with pytest.raises(StoreError, match="did not become champion: it was judged against"):
        run.plan()
    assert [version.version for version in run.registry.list_versions("index")] == ["V0"]


def test_worker_refuses_a_plan_of_another_model(run, exported_tiny_model, tmp_path):
    run.plan()
    plan = run.planned / PLAN
    digest = EncoderConfig.of(exported_tiny_model).digest
    plan.write_text(plan.read_text().replace(digest, "e" * 64))
    with pytest.raises(DataError, match=r"and the plan of index V0 is of eeeeeeeeeeee…; run the pipeline again"):
        run.work(0, 1)


def test_worker_refuses_a_corpus_that_is_not_the_planned_one(run, tmp_path):
    run.plan()
    (run.planned / SORTED).rename(tmp_path / "kept")
    run.start(write_corpus(tmp_path / "other.jsonl", texts_of(10)))
    before, other = run.planned, run.plan()
    assert other.index == "V1"
    (run.planned / SORTED).replace(before / SORTED)
    run.planned = before
    with pytest.raises(DataError, match=r"sorted\.parquet is not the corpus that was planned"):
        run.work(0, 1)


def test_join_refuses_a_plan_of_other_options(run):
    run.plan()
    with pytest.raises(DataError, match="The plan of index V0 is of another model or of other options"):
        run.join(SMALL.model_copy(update={"texts": 0}))
