"""Reading an index: what it finds, what it names, and what it refuses."""

import re
from pathlib import Path

import numpy as np
import pytest

from components.errors import DataError, StoreError
from components.search.reader import NOTHING, open_index
from components.search.version import IndexManifest, graph_name, shard_name
from tests.factories.index_versions import MODEL, make_index

IDS = [f"p{number:03}" for number in range(50)]
TEXTS = [f"the text of {name}, with an é" for name in IDS]


def unit(rows, dimension=16, seed=3):
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def vectors():
    return unit(len(IDS))


def best_by_hand(vectors, query, k):
    scores = vectors @ query
    return sorted(range(len(scores)), key=lambda place: (scores[place], IDS[place]), reverse=True)[:k]


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
@pytest.mark.parametrize("graph", [None, "float16", "int8"], ids=["exact", "float16 graph", "int8 graph"])
def test_search_finds_the_best_passages_with_their_scores(tmp_path, vectors, storage, graph):
    make_index(tmp_path / "index", vectors, IDS, storage=storage, graph=graph)
    index = open_index(tmp_path / "index", MODEL, verify=True)
    assert index.is_exact == (graph is None)
    queries = unit(20, seed=4)
    hits = index.search(queries, 5)
    for row, query in enumerate(queries):
        assert hits.positions[row].tolist() == best_by_hand(index.vectors(np.arange(50)), query, 5)
        assert hits.scores[row] == pytest.approx((vectors @ query)[hits.positions[row]], abs=0.02)
        assert index.ids(hits.positions[row]) == [IDS[place] for place in hits.positions[row]]
    alone = index.search(queries[:1], 5)
    assert alone.positions.tolist() == hits.positions[:1].tolist()


@pytest.mark.parametrize("graph", [None, "int8"], ids=["exact", "graph"])
def test_search_among_some_passages_finds_no_other(tmp_path, vectors, graph):
    make_index(tmp_path / "index", vectors, IDS, graph=graph)
    index = open_index(tmp_path / "index", MODEL)
    among = index.positions(["p049", "p007", "p007", "unknown", "p000", "p012"])
    assert sorted(among.tolist()) == [0, 7, 12, 49]
    hits = index.search(unit(1, seed=5), 6, among)
    assert sorted(index.ids(hits.positions[0])) == ["p000", "p007", "p012", "p049"]
    assert hits.positions[0, 4:].tolist() == [NOTHING, NOTHING]
    assert np.isneginf(hits.scores[0, 4:]).all()
    nothing = index.search(unit(1, seed=5), 2, index.positions(["unknown"]))
    assert index.ids(nothing.positions[0]) == []


@pytest.mark.parametrize("graph", [None, "int8"], ids=["exact", "graph"])
def test_frugal_index_finds_the_same_and_keeps_no_page(tmp_path, vectors, graph):
    make_index(tmp_path / "index", vectors, IDS, TEXTS, graph=graph)
    usual, frugal = open_index(tmp_path / "index", MODEL), open_index(tmp_path / "index", MODEL, frugal=True)
    queries = unit(20, seed=4)
    for name in ("search", "search_exactly"):
        expected, found = (getattr(index, name)(queries, 5) for index in (usual, frugal))
        assert found.positions.tolist() == expected.positions.tolist()
        assert found.scores.tolist() == expected.scores.tolist()
    assert [block.tolist() for block in frugal.hashes()] == [block.tolist() for block in usual.hashes()]
    assert frugal.ids(np.arange(50)) == IDS
    assert frugal.texts(np.arange(50)) == TEXTS
    assert frugal.positions(IDS).tolist() == list(range(50))
    del usual
    assert resident_kilobytes(tmp_path / "index") == 0


def test_frugal_index_keeps_no_page_of_its_opening(tmp_path, vectors):
    make_index(tmp_path / "index", vectors, IDS, TEXTS)
    opened = open_index(tmp_path / "index", MODEL, frugal=True)
    assert (len(opened), resident_kilobytes(tmp_path / "index")) == (50, 0)


def resident_kilobytes(folder):
    """Memory of this process that shows files of a folder."""
    found, counts = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            counts = str(folder) in line
        elif counts and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found


def test_search_of_equal_scores_puts_the_larger_id_first_also_at_the_cut(tmp_path):
    same = np.tile(unit(1), (50, 1))
    make_index(tmp_path / "index", same, IDS)
    hits = open_index(tmp_path / "index").search(same[:1], 3)
    assert hits.positions.tolist() == [[49, 48, 47]]


def test_search_for_more_than_there_is_leaves_places_empty(tmp_path, vectors):
    make_index(tmp_path / "index", vectors[:3], IDS[:3])
    index = open_index(tmp_path / "index")
    hits = index.search(unit(300, seed=6), 5)
    assert hits.positions.shape == (300, 5)
    assert (np.sort(hits.positions, axis=1)[:, :2] == NOTHING).all()
    assert index.search(np.empty((0, 16), np.float32), 5).positions.shape == (0, 5)


def test_texts_are_given_where_the_index_keeps_them(tmp_path, vectors):
    make_index(tmp_path / "with", vectors, IDS, TEXTS)
    make_index(tmp_path / "without", vectors, IDS)
    positions = np.array([49, 0, NOTHING, 17])
    assert open_index(tmp_path / "with").texts(positions) == [TEXTS[49], TEXTS[0], TEXTS[17]]
    assert open_index(tmp_path / "without").texts(positions) is None


def test_open_index_of_another_model_is_refused(tmp_path, vectors):
    make_index(tmp_path / "index", vectors, IDS)
    with pytest.raises(StoreError, match=r"is the index of model V0 \(aaaa.*from bbbb.* cannot be compared"):
        open_index(tmp_path / "index", "b" * 64)


def test_open_index_in_a_folder_without_one_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"is not an index: it has no index\.json"):
        open_index(tmp_path)


@pytest.mark.parametrize("name", [shard_name(3), graph_name(2)])
@pytest.mark.parametrize("left", [0, 6, 100, -1], ids=lambda left: f"{left} bytes left")
def test_open_index_with_a_cut_file_is_refused(tmp_path, vectors, name, left):
    make_index(tmp_path / "index", vectors, IDS, graph="float16")
    path = tmp_path / "index" / name
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(StoreError, match=path.name):
        open_index(tmp_path / "index", MODEL, verify=True)
    if "shards" in name:
        with pytest.raises(StoreError, match=path.name):
            open_index(tmp_path / "index", MODEL)


@pytest.mark.parametrize("name", [shard_name(0), graph_name(1)])
def test_open_index_without_a_file_is_refused(tmp_path, vectors, name):
    make_index(tmp_path / "index", vectors, IDS, graph="float16")
    (tmp_path / "index" / name).unlink()
    with pytest.raises(StoreError, match=rf"{name} is missing"):
        open_index(tmp_path / "index", MODEL)


def test_open_index_with_shards_in_another_order_is_refused(tmp_path, vectors):
    make_index(tmp_path / "index", vectors, IDS)
    first, second = (tmp_path / "index" / shard_name(number) for number in (0, 1))
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)
    with pytest.raises(StoreError, match="is not the shard that"):
        open_index(tmp_path / "index", MODEL)


def test_index_manifest_whose_shards_are_not_the_corpus_is_refused(tmp_path, vectors):
    manifest = make_index(tmp_path / "index", vectors, IDS)
    text = manifest.to_json().replace('"passages": 50', '"passages": 51')
    with pytest.raises(DataError, match="its shards have 50 passages, and its corpus 51"):
        IndexManifest.parse(text.encode(), "index.json")
