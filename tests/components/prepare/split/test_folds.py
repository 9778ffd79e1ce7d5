"""Folds: few queries are all trained on and judged, and what hangs together is in one fold."""

import numpy as np
import pytest

from components.dataset.manifest import DEV, FOLDS, QRELS, QUERIES, TRAIN, DatasetManifest
from components.errors import DataError
from components.prepare.options import PrepareOptions
from components.prepare.split.folds import DEFAULT_FOLDS, FEW_QUERIES, fold_of_each
from components.prepare.split.queries import QueryGroups
from components.prepare.stage import prepare
from tests.components.prepare.conftest import rows_of, table_of, write_beir, write_rows


@pytest.fixture
def few(base_model):
    """`PrepareOptions` as they come, but for the base model."""

    def make(**values):
        return PrepareOptions(base_model=base_model, **values)

    return make


def folds_in(dataset):
    """The fold of each query id."""
    return {row["query_id"]: row["fold"] for row in table_of(dataset / FOLDS)}


@pytest.mark.parametrize("seed", range(5))
def test_fold_of_each_keeps_groups_whole_and_folds_of_about_one_size(seed):
    chance = np.random.default_rng(seed)
    groups = np.unique(chance.integers(0, 40, 90), return_inverse=True)[1].astype(np.int32)
    tickets = chance.integers(0, 1 << 60, 90).astype(np.uint64)
    found = QueryGroups(np.arange(90, dtype=np.uint64), tickets, np.ones(90, dtype=np.int64), groups)
    folds = fold_of_each(found, DEFAULT_FOLDS)
    assert all(len(set(folds[groups == group])) == 1 for group in range(found.number))
    sizes = np.bincount(folds, minlength=DEFAULT_FOLDS)
    assert sizes.max() - sizes.min() <= found.sizes.max()


def test_prepare_few_queries_trains_on_all_and_judges_all(tmp_path, few):
    source = str(write_rows(tmp_path / "raw.csv", rows_of(40)))
    manifest = prepare(source, tmp_path / "V0", few())
    assert manifest.folds == DEFAULT_FOLDS
    queries = {row["query_id"] for row in table_of(tmp_path / "V0" / QUERIES)}
    assert queries == {row["query_id"] for row in table_of(tmp_path / "V0" / TRAIN)}
    assert len(queries) == 40
    assert table_of(tmp_path / "V0" / DEV) == []
    sizes = np.bincount(list(folds_in(tmp_path / "V0").values()))
    assert sizes.tolist() == [4] * DEFAULT_FOLDS
    assert DatasetManifest.of(tmp_path / "V0") == manifest
    assert "cross-validated in 10 folds" in (tmp_path / "V0" / "profile.html").read_text()


def test_prepare_the_same_data_gives_the_same_folds_whatever_its_order(tmp_path, few):
    rows = rows_of(40)
    first = prepare(str(write_rows(tmp_path / "a.csv", rows)), tmp_path / "A", few())
    second = prepare(str(write_rows(tmp_path / "b.csv", rows[::-1])), tmp_path / "B", few())
    assert folds_in(tmp_path / "A") == folds_in(tmp_path / "B")
    assert first.digest == second.digest
    other = prepare(str(tmp_path / "a.csv"), tmp_path / "C", few(seed=7))
    assert folds_in(tmp_path / "C") != folds_in(tmp_path / "A")
    assert other.digest != first.digest


def test_prepare_queries_that_share_a_positive_are_in_one_fold(tmp_path, few):
    rows = [{**row, "positive": f"the answer number {place // 3} of all"} for place, row in enumerate(rows_of(45))]
    prepare(str(write_rows(tmp_path / "raw.csv", rows)), tmp_path / "V0", few(near_duplicates=0))
    folds = folds_in(tmp_path / "V0")
    for place in range(0, 45, 3):
        assert len({folds[f"{number:03d}"] for number in range(place, place + 3)}) == 1


def test_prepare_near_duplicates_of_a_query_are_in_one_fold(tmp_path, few):
    rows = rows_of(30)
    alike = [{**row, "query_id": f"again-{row['query_id']}", "query": f"{row['query']}!"} for row in rows[:10]]
    for row in alike:
        row["positive"] = f"another answer {row['query_id']} than before, {row['query_id'] * 2}"
    prepare(str(write_rows(tmp_path / "raw.csv", rows + alike)), tmp_path / "V0", few())
    folds = folds_in(tmp_path / "V0")
    assert all(folds[row["query_id"]] == folds[row["query_id"].removeprefix("again-")] for row in alike)


def test_prepare_a_small_collection_keeps_its_grades_and_counts_what_folds_share(tmp_path, few):
    passages = {f"p{n}": {"title": f"title {n}", "text": f"passage number {n} about {n * 7}"} for n in range(60)}
    queries = {f"q{n}": {"text": f"what does page {n} say of moon {n * 3}"} for n in range(30)}
    rows = [(f"q{n}", f"p{n + step}", 1 + step) for n in range(30) for step in range(2)]
    folder = write_beir(tmp_path / "raw", passages=passages, queries=queries, qrels={"test": rows})
    manifest = prepare(str(folder), tmp_path / "V0", few(triplets_per_query=5))
    assert manifest.folds == DEFAULT_FOLDS
    assert sorted(
        (r["query_id"], r["passage_id"], r["relevance"]) for r in table_of(tmp_path / "V0" / QRELS)
    ) == sorted(rows)
    shared = next(rule for rule in manifest.rules if rule.name == "shared_passage")
    assert shared.kept > 0
    with pytest.raises(DataError, match=r"30 queries cannot be split .* form 1 groups"):
        prepare(str(folder), tmp_path / "V1", few(triplets_per_query=5, strict_passages=True))


@pytest.mark.parametrize(
    ("rows", "values"),
    [
        (40, {"folds": 1}),
        (40, {"evaluation_queries": 8}),
        (40, {"dev_queries": 0.1}),
        (FEW_QUERIES, {}),
        (4, {}),
    ],
    ids=["never", "evaluation queries are named", "dev queries are named", "enough queries", "too few for folds"],
)
def test_prepare_holds_queries_out(tmp_path, few, rows, values):
    manifest = prepare(str(write_rows(tmp_path / "raw.csv", rows_of(rows))), tmp_path / "V0", few(**values))
    assert manifest.folds == 0
    assert not (tmp_path / "V0" / FOLDS).exists()
    assert manifest.counts["dev"] > 0


def test_prepare_with_folds_asked_for_takes_as_many_whatever_the_number_of_queries(tmp_path, few):
    source = str(write_rows(tmp_path / "raw.csv", rows_of(FEW_QUERIES + 10)))
    assert prepare(source, tmp_path / "V0", few(folds=6)).folds == 6


def test_prepare_with_more_folds_than_groups_is_refused(tmp_path, few):
    source = str(write_rows(tmp_path / "raw.csv", rows_of(6)))
    with pytest.raises(DataError, match="6 judged queries form 6 groups"):
        prepare(source, tmp_path / "V0", few(folds=7))


def test_prepare_with_folds_and_an_evaluation_set_is_refused(tmp_path, few):
    source = str(write_rows(tmp_path / "raw.csv", rows_of(40)))
    prepare(source, tmp_path / "V0", few())
    other = str(write_rows(tmp_path / "other.csv", rows_of(60)[40:]))
    with pytest.raises(DataError, match="judged on other queries"):
        prepare(other, tmp_path / "V1", few(folds=5, evaluation_data=str(tmp_path / "V0")))


@pytest.mark.parametrize("folds", [2, 4, 51])
def test_prepare_options_with_a_number_of_folds_that_cannot_be_judged_are_refused(few, folds):
    with pytest.raises(ValueError, match="folds"):
        few(folds=folds)
