import json
import random

import pytest

from components.dataset.evaluation_set import open_evaluation_set
from components.dataset.manifest import CORPUS, DATA_FILES, DEV, DEV_CORPUS, PROFILE, QUERIES, TRAIN, DatasetManifest
from components.errors import DataError, ModelError
from components.prepare.stage import prepare
from tests.components.prepare.conftest import COLUMNS, rows_of, table_of, write_rows


def test_a_dataset_version_holds_every_part(tmp_path, options):
    manifest = prepare(str(write_rows(tmp_path / "raw.csv", rows_of(100))), tmp_path / "V0", options())

    assert sorted(path.name for path in (tmp_path / "V0").iterdir()) == sorted([*DATA_FILES, PROFILE, "manifest.json"])
    assert tuple(table_of(tmp_path / "V0" / TRAIN)[0]) == COLUMNS
    assert manifest.counts["train"] == 85
    assert manifest.counts["dev"] == 5
    assert manifest.counts["queries"] == 10
    assert DatasetManifest.of(tmp_path / "V0") == manifest
    assert open_evaluation_set(tmp_path / "V0").digest == manifest.evaluation_digest
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_at_most_one_triplet_for_a_query_id(tmp_path, options):
    rows = [{**row, "negative": f"{row['negative']} {copy}"} for row in rows_of(60) for copy in range(4)]
    manifest = prepare(str(write_rows(tmp_path / "raw.jsonl", rows)), tmp_path / "V0", options())

    ids = [row["query_id"] for row in table_of(tmp_path / "V0" / TRAIN)]
    assert len(ids) == len(set(ids)) == manifest.counts["train"]
    dropped = {rule.name: rule.dropped for rule in manifest.rules}
    assert dropped["triplets_per_query"] == 3 * len(ids)


def test_prepare_keeps_every_positive_of_a_dev_query_and_passages_that_answer_none(tmp_path, options):
    rows = [{**row, "positive": f"{row['positive']} part {part}"} for row in rows_of(60) for part in range(3)]
    prepare(str(write_rows(tmp_path / "raw.csv", rows)), tmp_path / "V0", options())

    dev = table_of(tmp_path / "V0" / DEV)
    assert len({row["query_id"] for row in dev}) == 5
    assert len({(row["query_id"], row["positive"]) for row in dev}) == len(dev) == 15
    passages = [row["text"] for row in table_of(tmp_path / "V0" / DEV_CORPUS)]
    assert set(passages) <= {row["text"] for row in table_of(tmp_path / "V0" / CORPUS)}
    assert len(passages) == len(set(passages)) > 30
    assert not set(passages) & {row["positive"] for row in dev}


def test_triplets_per_query_is_a_choice(tmp_path, options):
    rows = [{**row, "negative": f"{row['negative']} {copy}"} for row in rows_of(60) for copy in range(4)]
    manifest = prepare(str(write_rows(tmp_path / "raw.jsonl", rows)), tmp_path / "V0", options(triplets_per_query=3))

    assert manifest.counts["train"] == 3 * (60 - 10 - 5)


def test_max_triplets_bounds_training_alone(tmp_path, options):
    source = write_rows(tmp_path / "raw.parquet", rows_of(100))
    manifest = prepare(str(source), tmp_path / "V0", options(max_triplets=30))

    assert manifest.counts["train"] == 30
    assert manifest.counts["queries"] == 10


def test_nothing_is_shared_between_the_sides_however_indirectly(tmp_path, options):
    rows = rows_of(120)
    for number in range(0, 120, 3):
        # a → b share a positive, b → c share a query text: a, b and c must stay together
        rows[number + 1]["positive"] = rows[number]["positive"].upper()
        rows[number + 2]["query"] = f"  {rows[number + 1]['query']} "
    prepare(str(write_rows(tmp_path / "raw.csv", rows)), tmp_path / "V0", options(evaluation_queries=0.2))

    group = {row["query_id"]: number // 3 for number, row in enumerate(rows)}
    sides = [{group[row["query_id"]] for row in table_of(tmp_path / "V0" / name)} for name in (TRAIN, DEV, QUERIES)]
    assert all(sides)
    assert sides[0].isdisjoint(sides[1] | sides[2])
    assert sides[1].isdisjoint(sides[2])


def test_no_training_positive_stands_in_the_evaluation_corpus(tmp_path, options):
    rows = rows_of(100)
    for row, other in zip(rows, rows[1:] + rows[:1], strict=True):
        row["negative"] = other["positive"]
    prepare(str(write_rows(tmp_path / "raw.csv", rows)), tmp_path / "V0", options())

    corpus = {row["text"] for row in table_of(tmp_path / "V0" / CORPUS)}
    assert corpus.isdisjoint({row["positive"] for row in table_of(tmp_path / "V0" / TRAIN)})


def test_every_positive_of_a_held_out_query_is_judged(tmp_path, options):
    rows = [{**row, "positive": f"{row['positive']} part {part}"} for row in rows_of(60) for part in range(3)]
    prepare(str(write_rows(tmp_path / "raw.csv", rows)), tmp_path / "V0", options())

    judged = open_evaluation_set(tmp_path / "V0").qrels
    assert len(judged) == 10
    assert all(len(passages) == 3 and set(passages.values()) == {1} for passages in judged.values())


def test_the_corpus_keeps_its_bound_and_every_positive(tmp_path, options):
    manifest = prepare(str(write_rows(tmp_path / "raw.csv", rows_of(100))), tmp_path / "V0", options(max_corpus=25))
    assert manifest.counts["corpus"] == 25

    smaller = prepare(str(tmp_path / "raw.csv"), tmp_path / "V1", options(max_corpus=3))
    assert smaller.counts["corpus"] == smaller.counts["qrels"] == 10


def test_the_result_depends_on_content_and_seed_alone(tmp_path, options):
    rows = [{**row, "negative": f"{row['negative']} {copy}"} for row in rows_of(80) for copy in range(2)]
    shuffled = random.Random(3).sample(rows, len(rows))
    first = prepare(str(write_rows(tmp_path / "a.csv", rows)), tmp_path / "V0", options(max_triplets=40))
    other_order = prepare(str(write_rows(tmp_path / "b.jsonl", shuffled)), tmp_path / "V1", options(max_triplets=40))
    other_seed = prepare(str(tmp_path / "a.csv"), tmp_path / "V2", options(max_triplets=40, seed=7))

    assert other_order.digest == first.digest
    assert other_seed.digest != first.digest
    assert (tmp_path / "V0" / TRAIN).read_bytes() == (tmp_path / "V1" / TRAIN).read_bytes()


def test_max_seq_length_follows_the_99th_percentile(tmp_path, options):
    rows = rows_of(300)
    for number, row in enumerate(rows):
        row["positive"] += " word" * (5 if number % 50 else 500)  # two in a hundred are long
    source = str(write_rows(tmp_path / "raw.csv", rows))

    assert prepare(source, tmp_path / "V0", options(max_seq_length_cap=1000)).max_seq_length > 500
    assert prepare(source, tmp_path / "V1", options(max_seq_length_cap=128)).max_seq_length == 128
    assert prepare(source, tmp_path / "V2", options(max_seq_length=48)).max_seq_length == 48


def test_prepare_reads_no_more_tokens_than_the_base_model(tmp_path, options, tiny_model):
    rows = rows_of(60)
    for row in rows:
        row["positive"] += " word" * 300
    source = str(write_rows(tmp_path / "raw.csv", rows))
    assert prepare(source, tmp_path / "V0", options(base_model=str(tiny_model))).max_seq_length == 64
    with pytest.raises(ModelError, match="max_seq_length 65 is more than the 64 positions of"):
        prepare(source, tmp_path / "V1", options(base_model=str(tiny_model), max_seq_length=65))


def test_drops_are_counted_with_examples(tmp_path, options):
    rows = rows_of(60)
    rows[0]["negative"] = " "
    rows[1]["query"] = ""
    rows[2]["positive"] = "x" * 60_000
    rows.append({**rows[3], "query_id": "again", "query": rows[3]["query"].upper()})
    rows.append({**rows[4], "negative": rows[4]["positive"]})
    manifest = prepare(str(write_rows(tmp_path / "raw.jsonl", rows)), tmp_path / "V0", options())

    dropped = {rule.name: rule.dropped for rule in manifest.rules}
    assert dropped["empty_text"] == 2
    assert dropped["too_long"] == 1
    assert dropped["duplicate"] == 1
    assert dropped["negative_is_positive"] == 1
    example = next(rule for rule in manifest.rules if rule.name == "duplicate").examples[0]
    assert example["positive"] == rows[3]["positive"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_further_columns_stay_with_the_held_out_queries(tmp_path, options, kind):
    rows = [
        {**row, "market": "de" if number % 2 else "fr", 'odd "name"': number} for number, row in enumerate(rows_of(60))
    ]
    prepare(str(write_rows(tmp_path / f"raw.{kind}", rows)), tmp_path / "V0", options())

    opened = open_evaluation_set(tmp_path / "V0")
    market = {row["query_id"]: row["market"] for row in rows}
    assert opened.query_columns["market"] == {query_id: market[query_id] for query_id in opened.queries}
    assert opened.query_columns['odd "name"'] == {query_id: str(int(query_id)) for query_id in opened.queries}


def test_prepare_further_columns_that_differ_in_letter_case_alone_are_one(tmp_path, options):
    rows = [{**row, "Market": "de", "market": "fr", "QUERY": "shouted"} for row in rows_of(60)]
    prepare(str(write_rows(tmp_path / "raw.csv", rows)), tmp_path / "V0", options())
    assert set(open_evaluation_set(tmp_path / "V0").query_columns) == {"Market"}


def test_prepare_into_a_folder_whose_name_is_a_pattern_reads_its_own_files(tmp_path, options):
    source = str(write_rows(tmp_path / "raw.csv", rows_of(60)))
    (tmp_path / "out1").mkdir()
    first = prepare(source, tmp_path / "out1" / "V0", options())
    second = prepare(source, tmp_path / "out[1]" / "V*", options(seed=7))
    assert second.digest != first.digest
    assert open_evaluation_set(tmp_path / "out[1]" / "V*").digest == second.evaluation_digest


def test_one_id_for_two_queries_is_an_error_that_names_the_row(tmp_path, options):
    rows = rows_of(20)
    rows[7]["query_id"] = rows[2]["query_id"]
    source = write_rows(tmp_path / "raw.csv", rows)

    with pytest.raises(DataError, match=r"raw\.csv, line 9, column 'query_id' is '002'"):
        prepare(str(source), tmp_path / "V0", options())
    assert not (tmp_path / "V0").exists()


def test_a_dataset_version_is_never_written_over(tmp_path, options):
    source = str(write_rows(tmp_path / "raw.csv", rows_of(60)))
    prepare(source, tmp_path / "V0", options())
    before = (tmp_path / "V0" / "manifest.json").read_bytes()

    with pytest.raises(DataError, match="never over"):
        prepare(source, tmp_path / "V0", options())
    assert (tmp_path / "V0" / "manifest.json").read_bytes() == before


def test_queries_that_all_hang_together_cannot_be_split(tmp_path, options):
    rows = [{**row, "positive": "the one passage that answers all"} for row in rows_of(30)]
    with pytest.raises(DataError, match="cannot be split"):
        prepare(str(write_rows(tmp_path / "raw.csv", rows)), tmp_path / "V0", options())


def test_the_manifest_says_how_to_make_it_again(tmp_path, options, base_model):
    manifest = prepare(str(write_rows(tmp_path / "raw.csv", rows_of(60))), tmp_path / "V0", options(seed=5))
    stored = json.loads((tmp_path / "V0" / "manifest.json").read_text())

    assert manifest.base_model == base_model
    assert stored["settings"]["seed"] == 5
    assert stored["settings"]["evaluation_queries"] == 10
    assert stored["source"].endswith("raw.csv")
