"""Making an index: what is embedded, copied, found again after a kill, and what holds it back."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from components.errors import DataError, ModelError, RankliftError, StoreError
from components.index.keeper import FolderKeeper
from components.index.options import IndexOptions
from components.index.stage import Given, Opened, make_index, plan_of, read_corpus
from components.index.verification import MissedBoundError
from components.model.encoder import comparable
from components.search.graph import build_graph, for_graph
from components.search.reader import open_index
from components.search.version import INDEX, graph_name, shard_name
from tests.components.index.conftest import texts_of, write_corpus
from tests.factories.evaluation_sets import CORPUS

SMALL = IndexOptions(shard_size=16, graph_shards=2, exact_up_to=0, texts=12)


@pytest.fixture
def build(exported_tiny_model, dataset, tmp_path):
    """Make an index of a corpus; returns it opened."""

    def make(corpus, name="index", options=SMALL, former=None, keeper=None, **given):
        scratch = tmp_path / f"scratch-{name}"
        scratch.mkdir(exist_ok=True)
        opened = Opened.of(Given(exported_tiny_model, str(corpus), dataset, **given), options)
        sorted_corpus = read_corpus(opened, scratch, former)
        (tmp_path / name).mkdir(exist_ok=True)
        make_index(opened, sorted_corpus, tmp_path / name, keeper or FolderKeeper(), former)
        return open_index(tmp_path / name, opened.encoder.digest, verify=True)

    return make


@pytest.mark.parametrize("exact_up_to", [0, 1000], ids=["graphs", "exact"])
def test_index_finds_what_the_encoder_would(build, tiny_encoder, tmp_path, exact_up_to):
    passages = texts_of(100)
    options = SMALL.model_copy(update={"exact_up_to": exact_up_to})
    index = build(write_corpus(tmp_path / "corpus.jsonl", passages), options=options)
    assert index.is_exact == (exact_up_to > 0)
    assert [len(shard) for shard in index.shards] == [16] * 6 + [4]
    vectors = comparable(tiny_encoder.encode_documents(list(passages.values())), tiny_encoder.config)
    queries = comparable(tiny_encoder.encode_queries(["sort the array", "a path in the graph"]), tiny_encoder.config)
    hits = index.search(queries, 5)
    for row, query in enumerate(queries):
        assert hits.scores[row] == pytest.approx(np.sort(vectors @ query)[::-1][:5], abs=2e-3)
        texts = index.texts(hits.positions[row])
        assert texts == [passages[name][:12] for name in index.ids(hits.positions[row])]
    assert index.manifest.verification.recall >= 0.98
    assert index.manifest.build.embedded == 100


def test_index_of_the_dataset_is_verified_by_its_judgements(build, dataset):
    index = build("dataset", options=IndexOptions())
    verification = index.manifest.verification
    assert (verification.queries, verification.recall) == (3, 1.0)
    assert verification.ndcg_index == pytest.approx(verification.ndcg_exact)
    assert (index.manifest.count, index.is_exact) == (len(CORPUS), True)


def test_index_smaller_than_ten_passages_is_searched_for_what_it_has(build, tmp_path):
    index = build(write_corpus(tmp_path / "corpus.jsonl", texts_of(3)))
    assert index.manifest.verification.recall == 1.0
    assert index.manifest.verification.ndcg_index is None  # what the dataset calls relevant is not in it
    assert len(index.ids(index.search(index.vectors(np.array([0])), 10).positions[0])) == 3


def test_index_goes_on_at_the_first_missing_shard_after_a_kill(build, tmp_path, capfd):
    corpus = write_corpus(tmp_path / "corpus.jsonl", texts_of(100))
    whole = build(corpus)
    files = {path: path.read_bytes() for path in sorted((tmp_path / "index" / "shards").iterdir())}
    for path in list(files)[4:]:
        path.unlink()
    (tmp_path / "index" / INDEX).unlink()
    shutil.rmtree(tmp_path / "index" / "graphs")
    (tmp_path / "index" / "shards" / ".00004.safetensors.part").write_bytes(b"half of a shard")
    capfd.readouterr()
    again = build(corpus)
    assert "36 embedded, 64 there already" in capfd.readouterr().err
    assert {path: path.read_bytes() for path in files} == files
    assert again.manifest.shards == whole.manifest.shards


@pytest.mark.parametrize("fault", ["cut", "another text"])
def test_index_makes_a_shard_again_that_does_not_fit(build, tmp_path, capfd, fault):
    passages = texts_of(100)
    build(write_corpus(tmp_path / "corpus.jsonl", passages))
    damaged = tmp_path / "index" / shard_name(2)
    if fault == "cut":
        damaged.write_bytes(damaged.read_bytes()[:-1])
    else:
        passages["p0033"] = "a text that was not there before"
        write_corpus(tmp_path / "corpus.jsonl", passages)
    capfd.readouterr()
    index = build(tmp_path / "corpus.jsonl")
    assert "16 embedded, 84 there already" in capfd.readouterr().err
    assert len(index) == 100


def test_index_copies_unchanged_passages_from_the_former_one(build, tmp_path):
    passages = texts_of(100)
    former = build(write_corpus(tmp_path / "corpus.jsonl", passages), "former")
    del passages["p0010"]
    passages |= {"p0050": "a text that was not there before", "p0050b": "another that is new"}
    changed = write_corpus(tmp_path / "changed.jsonl", passages)
    index = build(changed, "index", former=former)
    assert (index.manifest.build.embedded, index.manifest.build.copied) == (2, 98)
    scratch = build(changed, "scratch")
    positions = np.arange(len(index))
    assert index.ids(positions) == scratch.ids(positions) == sorted(passages)
    assert index.vectors(positions) == pytest.approx(scratch.vectors(positions), abs=1e-3)
    assert index.manifest.corpus.digest == scratch.manifest.corpus.digest


def test_index_goes_on_from_the_graphs_of_the_former_one(build, tmp_path, monkeypatch):
    passages = texts_of(100)
    former = build(write_corpus(tmp_path / "corpus.jsonl", passages), "former")
    del passages["p0010"]
    passages |= {"p0000a": "a text that was not there before", "p0099b": passages["p0020"]}
    added = []
    monkeypatch.setattr(
        "components.search.graph.for_graph",
        lambda vectors, kind: added.append(len(vectors)) or for_graph(vectors, kind),
    )
    index = build(write_corpus(tmp_path / "corpus.jsonl", passages), "index", former=former)
    # Each graph of 32 goes on: the new text, what slid in from the graph beside it, and the text that is there twice.
    assert sum(added) < 10
    everything = index.search(index.vectors(np.arange(len(index))), len(index))
    assert (np.sort(everything.positions, axis=1) == np.arange(len(index))).all()


def test_index_of_a_former_one_with_a_damaged_graph_is_refused(build, tmp_path):
    corpus = write_corpus(tmp_path / "corpus.jsonl", texts_of(100))
    build(corpus, "former")
    graph = tmp_path / "former" / graph_name(0)
    graph.write_bytes(graph.read_bytes()[:40])
    with pytest.raises(StoreError, match=r"00000\.usearch is not a graph of an index .*; make the index without it"):
        build(corpus, "index", former=open_index(tmp_path / "former", frugal=True))


def test_index_of_which_most_has_changed_gets_new_graphs(build, tmp_path):
    former = build(write_corpus(tmp_path / "corpus.jsonl", texts_of(40)), "former")
    passages = texts_of(20) | texts_of(80, first=1000)
    index = build(write_corpus(tmp_path / "corpus.jsonl", passages), "index", former=former)
    everything = index.search(index.vectors(np.arange(len(index))), len(index))
    assert (np.sort(everything.positions, axis=1) == np.arange(len(index))).all()
    assert index.manifest.build.copied == 20


def test_index_that_misses_the_recall_is_not_made(build, tmp_path, monkeypatch):
    corpus = write_corpus(tmp_path / "corpus.jsonl", texts_of(100))
    monkeypatch.setattr("components.index.stage.build_graph", lambda shards, *rest: build_graph(shards[:1], *rest))
    with pytest.raises(
        MissedBoundError, match=r"recall@10 of the index is 0\.\d+ on 3 queries, below the bound of 0.98"
    ):
        build(corpus)
    assert not (tmp_path / "index" / INDEX).exists()
    monkeypatch.undo()
    assert build(corpus).manifest.verification.recall >= 0.98  # the shards are still there


def test_index_below_the_judged_ndcg_is_not_made(build, tmp_path):
    with pytest.raises(MissedBoundError, match=r"NDCG@10 through the index is 0\.\d+ .* below the exact 1\.0000 where"):
        build("dataset", judged_ndcg=1.0)
    assert not (tmp_path / "index" / INDEX).exists()


def test_plan_is_the_same_for_the_same_index_alone(exported_tiny_model, dataset, tmp_path):
    def plan(passages, **options):
        write_corpus(tmp_path / "corpus.jsonl", passages)
        opened = Opened.of(Given(exported_tiny_model, str(tmp_path / "corpus.jsonl"), dataset), IndexOptions(**options))
        return plan_of(opened, read_corpus(opened, tmp_path))

    same = {plan(texts_of(20)), plan(dict(reversed(texts_of(20).items()))), plan(texts_of(20), min_recall=0.5)}
    assert len(same) == 1
    assert len(same | {plan(texts_of(21)), plan(texts_of(20), shard_size=8), plan(texts_of(20), texts=0)}) == 4


def test_passages_of_which_the_model_makes_no_number_are_named(build, tmp_path, monkeypatch):
    corpus = write_corpus(tmp_path / "corpus.jsonl", texts_of(20))
    monkeypatch.setattr("components.index.embed.comparable", lambda vectors, config: vectors * np.float32("nan"))
    with pytest.raises(ModelError, match="NaN or infinity for 16 of 16 passages, the first with id 'p0000'"):
        build(corpus)


def test_make_of_a_corpus_that_changed_its_order_makes_the_same_shards(build, tmp_path):
    passages = texts_of(40)
    first = build(write_corpus(tmp_path / "one.jsonl", passages), "one")
    second = build(write_corpus(tmp_path / "two.jsonl", dict(reversed(passages.items()))), "two")
    assert [entry.sha256 for entry in first.manifest.shards] == [entry.sha256 for entry in second.manifest.shards]


def test_opened_of_the_dataset_without_one_is_refused(exported_tiny_model):
    with pytest.raises(DataError, match="no dataset is named; give --data DATASET"):
        Opened.of(Given(exported_tiny_model, "dataset"), SMALL)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        pytest.param({"min_recall": 1.5}, "min_recall = 1.5 is invalid for `index`", id="recall"),
        pytest.param({"texts": -1}, "texts = -1 is invalid for `index`", id="texts"),
    ],
)
def test_index_options_out_of_range_are_refused(values, sentence):
    with pytest.raises(RankliftError, match=sentence):
        IndexOptions.of(**values)


def test_shards_without_texts_keep_none(build, tmp_path):
    index = build(write_corpus(tmp_path / "corpus.jsonl", texts_of(20)), options=SMALL.model_copy(update={"texts": 0}))
    assert index.texts(np.array([1])) is None


def test_index_on_a_full_disk_is_one_sentence_and_goes_on_when_there_is_room(exported_tiny_model, tmp_path):
    corpus = write_corpus(tmp_path / "corpus.jsonl", texts_of(3000))
    command = ["index", str(exported_tiny_model), "--corpus", str(corpus), "-o", str(tmp_path / "index")]
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, resource.RLIM_INFINITY)); "
        "sys.argv = ['ranklift', *{command}]; from pipeline.cli import main; main()"
    )
    full = subprocess.run(
        [sys.executable, "-c", code.format(room=300_000, command=command)],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert full.returncode == 2
    assert "File too large" in full.stderr.strip().splitlines()[-1]
    assert "Traceback" not in full.stderr
    assert not (tmp_path / "index" / INDEX).exists()
    subprocess.run([sys.executable, "-m", "pipeline.cli", *command], check=True, capture_output=True, timeout=240)
    assert len(open_index(tmp_path / "index", verify=True)) == 3000
