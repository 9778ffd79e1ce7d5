"""Generated queries: training triplets for passages of the collection, and nothing that anything is judged by."""

import pytest

from components.dataset.manifest import (
    CORPUS,
    DEV,
    GENERATED,
    PROFILE,
    QRELS,
    QUERIES,
    TRAIN,
    DatasetManifest,
)
from components.errors import ModelError
from components.prepare.stage import prepare
from components.train.cross_validation import write_part
from tests.components.prepare.conftest import rows_of, table_of, write_beir, write_rows
from tests.factories.models import make_tiny_generator

QUERIES_OF_A_PERSON = 20


@pytest.fixture(scope="session")
def generator(tmp_path_factory):
    return str(make_tiny_generator(tmp_path_factory.mktemp("generator") / "model"))


def collection(folder, *asked):
    """A collection of 60 passages that a person asks some queries, and these besides."""
    passages = {f"p{n}": {"text": f"the graph has a path to node {n} and an edge to tree {n * 7}"} for n in range(60)}
    texts = [f"where is the thing {n} of moon {n * 11}" for n in range(QUERIES_OF_A_PERSON)]
    queries = {f"q{n}": {"text": text} for n, text in enumerate([*texts, *asked])}
    qrels = [(query, f"p{n}", 1) for n, query in enumerate(queries)]
    return str(write_beir(folder, passages=passages, queries=queries, qrels={"test": qrels}))


@pytest.fixture
def made(options, generator, tmp_path):
    """Make a dataset version of a collection with generated queries; returns its folder."""

    def make(name="V0", *asked, **chosen):
        source = collection(tmp_path / f"raw-{name}", *asked)
        chosen = {"query_generator": generator, "evaluation_queries": 1000, "dev_queries": 200, "folds": 5, **chosen}
        prepare(source, tmp_path / name, options(**chosen))
        return tmp_path / name

    return make


def generated_in(folder, name=TRAIN):
    return [row for row in table_of(folder / name) if row["query_id"].startswith(GENERATED)]


def test_prepare_with_a_generator_adds_triplets_to_training_and_to_nothing_else(made):
    folder = made(generated_queries=30)
    manifest, rows = DatasetManifest.of(folder), generated_in(folder)
    assert 0 < len(rows) == manifest.generated["kept"] <= 30
    assert manifest.counts["train"] == len(rows) + QUERIES_OF_A_PERSON
    assert table_of(folder / TRAIN)[-len(rows) :] == rows, "behind what people judged"
    assert [generated_in(folder, name) for name in (DEV, QUERIES, QRELS)] == [[], [], []]
    assert manifest.counts["queries"] == QUERIES_OF_A_PERSON
    assert all(row["positive"] != row["negative"] for row in rows)
    assert {row["positive"] for row in rows} <= {row["text"] for row in table_of(folder / CORPUS)}
    assert len({row["query"].casefold() for row in rows}) == len(rows)


def test_prepare_with_a_generator_counts_all_that_was_written(made, generator):
    folder = made(generated_queries=30, queries_per_passage=4)
    found = DatasetManifest.of(folder).generated
    assert found["passages"] == 7, "a fourth of 30"
    assert found["written"] == 28 == found["kept"] + sum(found["dropped"].values())
    assert (found["generator"], len(found["generator_sha256"])) == (generator, 64)
    page = (folder / PROFILE).read_text()
    assert f"<b>{found['kept']}</b> of the training triplets have a query that" in page
    assert found["examples"][0]["query"] in page


def test_prepare_with_a_generator_is_the_same_with_the_same_seed(made):
    digests = [DatasetManifest.of(made(name, generated_queries=20, seed=seed)).digest for name, seed in
               (("first", 1), ("again", 1), ("other", 2))]  # fmt: skip
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("change", [str.upper, lambda text: f"{text} galaxy"], ids=["other letter case", "a word more"])
def test_prepare_leaves_out_what_a_judged_query_asks_already(made, change):
    written = {row["query"] for row in generated_in(made("before", generated_queries=20))}
    long = max(written, key=lambda text: len(set(text.split())))
    folder = made("after", change(long), generated_queries=20)
    assert {row["query"] for row in generated_in(folder)} == written - {long}
    assert DatasetManifest.of(folder).generated["dropped"]["asked"] == 1


def test_prepare_with_strict_passages_generates_for_none_that_answers_a_judged_query(made):
    relevant = {f"p{n}" for n in range(QUERIES_OF_A_PERSON)}
    folder = made(strict_passages=True)
    texts = {row["text"]: row["passage_id"] for row in table_of(folder / CORPUS)}
    asked = {texts[row["positive"]] for row in generated_in(folder)}
    assert asked
    assert not asked & relevant
    assert {texts[row["positive"]] for row in generated_in(made("shared"))} & relevant


def test_prepare_of_triplets_generates_for_no_passage_of_the_evaluation(options, generator, tmp_path):
    source = str(write_rows(tmp_path / "raw.csv", rows_of(100)))
    manifest = prepare(source, tmp_path / "V0", options(query_generator=generator, max_corpus=40))
    rows = generated_in(tmp_path / "V0")
    assert len(rows) == manifest.generated["kept"] > 0
    assert not {row["positive"] for row in rows} & {row["text"] for row in table_of(tmp_path / "V0" / CORPUS)}


def test_prepare_of_passages_too_short_to_ask_about_says_so(options, generator, tmp_path, capsys):
    rows = [{**row, "positive": f"yes {n}", "negative": f"no {n}"} for n, row in enumerate(rows_of(40))]
    source = str(write_rows(tmp_path / "raw.csv", rows))
    manifest = prepare(source, tmp_path / "V0", options(query_generator=generator))
    assert (manifest.generated["passages"], manifest.generated["kept"]) == (0, 0)
    assert "0 generated queries for 0 passages" in capsys.readouterr().err
    assert generated_in(tmp_path / "V0") == []


def test_write_part_keeps_generated_triplets_in_every_fold(made, tmp_path):
    folder = made(generated_queries=30)
    for fold in (0, 4):
        assert generated_in(write_part(folder, tmp_path / f"part-{fold}", without=fold)) == generated_in(folder)


def test_prepare_without_a_generator_has_no_generated_triplet(made):
    folder = made(query_generator="")
    assert DatasetManifest.of(folder).generated is None
    assert generated_in(folder) == []
    assert "Generated queries" not in (folder / PROFILE).read_text()


def test_prepare_with_a_base_model_as_generator_is_refused_before_anything_else(options, tiny_model, tmp_path):
    source = str(write_rows(tmp_path / "raw.csv", rows_of(30)))
    with pytest.raises(ModelError, match="is an encoder, which writes no text"):
        prepare(source, tmp_path / "V0", options(query_generator=str(tiny_model), base_model="/nowhere"))
    assert [path.name for path in tmp_path.iterdir()] == ["raw.csv"]
