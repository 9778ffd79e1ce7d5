"""Leaks of each kind, planted and found."""

import pytest

from components.dataset.evaluation_set import open_evaluation_set
from components.dataset.manifest import DEV, PROFILE, QUERIES, TRAIN
from components.errors import DataError
from components.prepare.stage import prepare
from tests.components.prepare.conftest import rows_of, table_of, write_beir, write_rows

TOPICS = (
    "apples bread cheese dates eggs figs grapes honey ice jam kale lemons mint nuts olives pears quince rice salt tea"
).split()


def sentence(start, length=12):
    return " ".join(TOPICS[(start + step * (1 + start % 3)) % len(TOPICS)] + str(start) for step in range(length))


@pytest.fixture
def evaluation(tmp_path):
    """An evaluation set of five queries with two relevant passages each."""
    return write_beir(
        tmp_path / "beir",
        passages={f"d{n}": {"title": f"Volume {n}", "text": sentence(n)} for n in range(20)},
        queries={f"e{n}": {"text": f"which volume tells about the old mill near river bend {n}"} for n in range(5)},
        qrels={"test": [(f"e{n // 2}", f"d{n}", 1 + n % 2) for n in range(10)]},
    )


PLANTS = {
    "the same query": {"query": "which volume tells about the old mill near river bend 3"},
    "the same query in capitals": {"query": "WHICH volume tells about  the old mill near river bend 3"},
    "a query with a word more": {"query": "which volume tells us about the old mill near river bend 3?"},
    "a query in another order": {"query": "near river bend 3, which volume tells about the old mill"},
    "the same positive": {"positive": f"Volume 7 {sentence(7)}"},
    "the same positive in capitals": {"positive": f"  VOLUME 7 {sentence(7)}"},
}


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_a_planted_leak_is_an_error_that_shows_it(tmp_path, options, evaluation, plant):
    rows = rows_of(60)
    rows[17].update(plant)
    source = str(write_rows(tmp_path / "raw.csv", rows))

    with pytest.raises(DataError, match=r"^1 training rows share .*--on-leak drop") as caught:
        prepare(source, tmp_path / "V0", options(evaluation_data=str(evaluation), strict_passages=True))
    assert f"{rows[17]['query']!r}" in str(caught.value)
    partner = (
        f"passage 'Volume 7 {sentence(7)[:50]}" if "positive" in plant else "query 'which volume tells about the old"
    )
    assert f"(query_id 017) and the evaluation's {partner}" in str(caught.value)
    assert not (tmp_path / "V0").exists()


def test_every_planted_leak_is_dropped_when_asked_and_nothing_else(tmp_path, options, evaluation):
    rows = rows_of(60)
    for number, plant in enumerate(PLANTS.values()):
        rows[number * 7].update(plant)
    source = str(write_rows(tmp_path / "raw.csv", rows))
    manifest = prepare(
        source,
        tmp_path / "V0",
        options(evaluation_data=str(evaluation), on_leak="drop", near_duplicates=0.8, strict_passages=True),
    )

    kept = {row["query_id"] for name in (TRAIN, DEV) for row in table_of(tmp_path / "V0" / name)}
    leaked = {rows[number * 7]["query_id"] for number in range(len(PLANTS))}
    assert kept == {row["query_id"] for row in rows} - leaked
    dropped = {rule.name: rule.dropped for rule in manifest.rules if rule.dropped}
    assert dropped == {"leaked_query": 2, "shared_passage": 2, "leaked_near_duplicate": 2}
    examples = [example for rule in manifest.rules for example in rule.examples]
    assert all(example["evaluation"] for example in examples)


def test_prepare_a_passage_that_training_and_evaluation_share_is_counted_and_kept(tmp_path, options, evaluation):
    rows = rows_of(60)
    rows[17].update(PLANTS["the same positive"])
    source = str(write_rows(tmp_path / "raw.csv", rows))
    manifest = prepare(source, tmp_path / "V0", options(evaluation_data=str(evaluation)))

    assert manifest.counts["train"] + manifest.counts["dev"] == 60
    shared = next(rule for rule in manifest.rules if rule.name == "shared_passage")
    assert (shared.dropped, shared.kept, shared.examples[0]["query_id"]) == (0, 1, "017")
    assert "1 row was found and kept" in (tmp_path / "V0" / PROFILE).read_text()


def test_an_evaluation_set_that_is_brought_stays_as_it_is(tmp_path, options, evaluation):
    source = str(write_rows(tmp_path / "raw.csv", rows_of(60)))
    prepare(source, tmp_path / "V0", options(evaluation_data=str(evaluation)))

    made, brought = open_evaluation_set(tmp_path / "V0"), open_evaluation_set(evaluation)
    assert made.digest == brought.digest
    assert made.qrels["e0"] == {"d0": 1, "d1": 2}


def test_a_broken_evaluation_set_is_refused_before_anything_else(tmp_path, options, evaluation):
    source = str(write_rows(tmp_path / "raw.csv", rows_of(60)))
    with pytest.raises(DataError, match="holds no evaluation set"):
        prepare(source, tmp_path / "V0", options(evaluation_data=str(tmp_path)))
    (evaluation / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\ne0\tnowhere\t1\n")
    with pytest.raises(DataError, match="column 'corpus-id': 'nowhere'"):
        prepare(source, tmp_path / "V0", options(evaluation_data=str(evaluation)))


def test_a_beir_folder_brings_its_own_test_split(tmp_path, options, evaluation):
    queries = {f"t{n}": {"text": f"find the passage that lists number {n} of {sentence(n + 50, 3)}"} for n in range(40)}
    with (evaluation / "queries.jsonl").open("a") as stream:
        stream.writelines(f'{{"_id": "{key}", "text": "{value["text"]}"}}\n' for key, value in queries.items())
    pairs = [f"{key}\td{10 + number % 10}\t1\n" for number, key in enumerate(queries)]
    (evaluation / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(pairs))

    manifest = prepare(str(evaluation), tmp_path / "V0", options())
    assert manifest.counts["queries"] == 5
    assert manifest.counts["train"] + manifest.counts["dev"] == 40
    assert all(row["negative"] != row["positive"] for row in table_of(tmp_path / "V0" / TRAIN))


def test_near_duplicates_stay_on_one_side_of_the_split(tmp_path, options):
    rows = rows_of(100)
    for number in range(0, 100, 2):
        rows[number + 1]["query"] = rows[number]["query"] + ", please"
    prepare(str(write_rows(tmp_path / "raw.csv", rows)), tmp_path / "V0", options(evaluation_queries=0.2))

    pair = {row["query_id"]: number // 2 for number, row in enumerate(rows)}
    sides = [{pair[row["query_id"]] for row in table_of(tmp_path / "V0" / name)} for name in (TRAIN, DEV, QUERIES)]
    assert all(sides)
    assert sides[0].isdisjoint(sides[1] | sides[2])
    assert sides[1].isdisjoint(sides[2])


def test_near_duplicate_rows_are_dropped_and_shown(tmp_path, options):
    rows = rows_of(60)
    rows.append(
        {**rows[5], "query_id": "new", "query": rows[5]["query"] + "?", "positive": rows[5]["positive"] + " Yes."}
    )
    source = str(write_rows(tmp_path / "raw.csv", rows))

    dropped = {rule.name: rule for rule in prepare(source, tmp_path / "V0", options()).rules}
    assert dropped["near_duplicate"].dropped == 1
    assert dropped["near_duplicate"].examples[0]["query_id"] in ("005", "new")
    kept = {rule.name: rule.dropped for rule in prepare(source, tmp_path / "V1", options(near_duplicates=0)).rules}
    assert kept["near_duplicate"] == 0


def test_another_number_is_another_text(tmp_path, options):
    text = "the sales of the whole company in all countries and all stores in the year"
    rows = [{**row, "query": f"{text} {1900 + number}"} for number, row in enumerate(rows_of(60))]
    manifest = prepare(str(write_rows(tmp_path / "raw.csv", rows)), tmp_path / "V0", options())
    assert manifest.counts["train"] + manifest.counts["dev"] + manifest.counts["queries"] == 60
