"""Who is trained on and who is held out: a split wherever there is one, and why where there is none."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.dataset.manifest import CORPUS, DEV, QRELS, QUERIES, TRAIN
from components.errors import DataError
from components.prepare.split.queries import Sizes, deal, sizes_of
from components.prepare.stage import prepare
from tests.components.prepare.conftest import rows_of, table_of, write_beir, write_rows


def ids_of(directory, name):
    return {row["query_id"] for row in table_of(directory / name)}


@settings(max_examples=60, deadline=None, database=None)
@given(
    st.lists(st.integers(1, 40), min_size=3, max_size=20), st.integers(1, 30), st.integers(1, 15), st.integers(0, 99)
)
def test_deal_gives_every_side_a_group_where_there_are_three(sizes, evaluation, dev, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    order = np.array(random.Random(seed).sample(range(1000), len(groups)), dtype=np.uint64)
    sides = deal(groups, order, np.ones(len(groups), dtype=np.int64), Sizes(evaluation, dev))
    assert set(sides.tolist()) == {0, 1, 2}
    assert all(len(set(sides[groups == group].tolist())) == 1 for group in range(len(sizes)))


@pytest.mark.parametrize("queries_of_a_passage", [2, 4, 7, 12])
def test_prepare_several_queries_to_one_passage_are_split_by_passage(tmp_path, options, queries_of_a_passage):
    rows = rows_of(48)
    for number, row in enumerate(rows):
        row["positive"] = rows_of(48)[number // queries_of_a_passage]["positive"]
    manifest = prepare(str(write_rows(tmp_path / "raw.csv", rows)), tmp_path / "V0", options())
    assert all(manifest.counts[name] for name in ("train", "dev", "queries"))
    positives = {row["query_id"]: row["positive"] for row in rows}
    sides = [{positives[key] for key in ids_of(tmp_path / "V0", name)} for name in (TRAIN, DEV, QUERIES)]
    assert sides[0].isdisjoint(sides[1] | sides[2])
    assert sides[1].isdisjoint(sides[2])


def test_prepare_with_no_split_says_which_passage_joins_the_queries(tmp_path, options):
    rows = rows_of(30)
    for row in rows[:29]:
        row["positive"] = "the one passage that answers nearly all"
    with pytest.raises(
        DataError, match=r"they form 2 groups .* 3 are needed.* 29 queries; the passage 'the one passage"
    ):
        prepare(str(write_rows(tmp_path / "raw.csv", rows)), tmp_path / "V0", options())


def test_sizes_of_shares_are_what_was_asked_for_and_counts_leave_most_to_train():
    assert sizes_of(100, 0.5, 0.2) == Sizes(50, 20)
    assert sizes_of(100, 1000, 200) == Sizes(25, 10)
    assert sizes_of(100, None, 200) == Sizes(0, 10)


def test_prepare_options_that_leave_nothing_to_train_on_are_refused(options):
    with pytest.raises(ValueError, match="leave no query to train on"):
        options(evaluation_queries=0.7, dev_queries=0.3)


class TestCollection:
    """A collection with a single split, in which most queries share passages."""

    @pytest.fixture
    def collection(self, tmp_path):
        rows = rows_of(60)
        passages = {f"p{n}": {"title": "", "text": row["positive"]} for n, row in enumerate(rows)}
        pairs = [(row["query_id"], f"p{(n + step) % 60}", 1 + step) for n, row in enumerate(rows) for step in range(3)]
        queries = {row["query_id"]: {"text": row["query"]} for row in rows}
        return write_beir(tmp_path / "beir", passages=passages, queries=queries, qrels={"test": pairs})

    def test_prepare_divides_it_by_query_with_its_own_grades_and_corpus(self, tmp_path, options, collection):
        manifest = prepare(str(collection), tmp_path / "V0", options(evaluation_queries=0.3, dev_queries=0.1))
        again = prepare(str(collection), tmp_path / "V1", options(evaluation_queries=0.3, dev_queries=0.1))

        assert manifest.digest == again.digest
        assert (manifest.counts["queries"], manifest.counts["train"]) == (18, 36)
        assert len(ids_of(tmp_path / "V0", DEV)) == 6
        assert manifest.counts["dev"] == 6 * 3
        assert manifest.counts["corpus"] == 60
        assert manifest.counts["qrels"] == 18 * 3
        assert {row["relevance"] for row in table_of(tmp_path / "V0" / QRELS)} == {1, 2, 3}
        assert ids_of(tmp_path / "V0", QUERIES).isdisjoint(ids_of(tmp_path / "V0", TRAIN))
        assert next(rule.kept for rule in manifest.rules if rule.name == "shared_passage") > 0

    def test_prepare_keeps_every_judged_passage_whatever_the_corpus_is_limited_to(self, tmp_path, options, collection):
        prepare(str(collection), tmp_path / "V0", options(max_corpus=1))
        judged = {row["passage_id"] for row in table_of(tmp_path / "V0" / QRELS)}
        assert {row["passage_id"] for row in table_of(tmp_path / "V0" / CORPUS)} == judged

    def test_prepare_with_strict_passages_refuses_what_hangs_together(self, tmp_path, options, collection):
        with pytest.raises(DataError, match="they form 1 groups"):
            prepare(str(collection), tmp_path / "V0", options(strict_passages=True))


class TestPublishedSplits:
    """Folders as the hub has them: a file or more for each split."""

    @pytest.fixture
    def folder(self, tmp_path):
        def write(test=range(40, 60), dev=(), names=("train-00000-of-00001", "test-00000-of-00001", "validation")):
            rows = rows_of(60)
            (tmp_path / "hub" / "data").mkdir(parents=True)
            for name, part in zip(names, (range(40), test, dev), strict=True):
                if part:
                    write_rows(tmp_path / "hub" / "data" / f"{name}.jsonl", [rows[number] for number in part])
            return str(tmp_path / "hub")

        return write

    def test_prepare_evaluates_on_the_test_files_and_trains_on_the_others(self, tmp_path, options, folder):
        manifest = prepare(folder(), tmp_path / "V0", options(evaluation_queries=1000))
        assert ids_of(tmp_path / "V0", QUERIES) == {f"{number:03d}" for number in range(40, 60)}
        assert manifest.counts["train"] + manifest.counts["dev"] == 40

    def test_prepare_selects_by_the_validation_files(self, tmp_path, options, folder):
        prepare(folder(test=range(40, 50), dev=range(50, 60)), tmp_path / "V0", options(dev_queries=200))
        assert ids_of(tmp_path / "V0", DEV) == {f"{number:03d}" for number in range(50, 60)}
        assert len(ids_of(tmp_path / "V0", TRAIN)) == 40

    def test_prepare_takes_no_more_test_queries_than_asked_for_and_never_trains_on_the_rest(
        self, tmp_path, options, folder
    ):
        manifest = prepare(folder(), tmp_path / "V0", options(evaluation_queries=8))
        assert manifest.counts["queries"] == 8
        assert max(ids_of(tmp_path / "V0", TRAIN) | ids_of(tmp_path / "V0", DEV)) == "039"

    @pytest.mark.parametrize(
        "change", [{}, {"query": "HOW does thing 3 work, when moon 21 rises"}], ids=["same", "near"]
    )
    def test_prepare_a_test_query_that_is_trained_on_is_an_error_or_dropped(self, tmp_path, options, folder, change):
        source = folder()
        leak = {**rows_of(4)[3], "query_id": "leak", **change}
        write_rows(tmp_path / "hub" / "data" / "test-1.jsonl", [leak])
        with pytest.raises(DataError, match=r"^1 training rows share a query.*query_id 003"):
            prepare(source, tmp_path / "V0", options(evaluation_queries=1000))
        prepare(source, tmp_path / "V1", options(evaluation_queries=1000, on_leak="drop"))
        assert "leak" in ids_of(tmp_path / "V1", QUERIES)
        assert "003" not in ids_of(tmp_path / "V1", TRAIN) | ids_of(tmp_path / "V1", DEV)

    def test_prepare_files_of_one_split_alone_are_dealt_out(self, tmp_path, options):
        write_rows(tmp_path / "test-0.csv", rows_of(30))
        write_rows(tmp_path / "test-1.csv", rows_of(60)[30:])
        assert prepare(str(tmp_path), tmp_path / "out" / "V0", options()).counts["train"] == 45
