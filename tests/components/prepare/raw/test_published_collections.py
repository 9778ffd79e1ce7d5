"""Test collections as they are published: BEIR, TREC, MS MARCO."""

import gzip

import pytest

from components.dataset.evaluation_set import open_evaluation_set
from components.dataset.manifest import DEV, TRAIN
from components.errors import DataError
from components.prepare.stage import prepare
from tests.components.prepare.conftest import rows_of, table_of, write_beir


@pytest.fixture
def ms_marco(tmp_path):
    """MS MARCO's layout: collection.tsv, queries.*.tsv, qrels.*.tsv, triples of ids; no header anywhere."""
    folder = tmp_path / "msmarco"
    folder.mkdir()
    rows = rows_of(60)
    lines = [f"p{number}\t{row['positive']}" for number, row in enumerate(rows)]
    lines += [f'n{number}\ta "quoted" {row["negative"]}' for number, row in enumerate(rows)]
    (folder / "collection.tsv").write_text("\n".join(lines) + "\n")
    for split, part in (("train", rows[:50]), ("dev", rows[50:])):
        (folder / f"queries.{split}.tsv").write_text("".join(f"{row['query_id']}\t{row['query']}\n" for row in part))
        judged = "".join(f"{row['query_id']}\t0\tp{int(row['query_id'])}\t1\n" for row in part)
        (folder / f"qrels.{split}.tsv").write_text(judged)
    triples = "".join(f"{row['query_id']}\tp{number}\tn{number}\n" for number, row in enumerate(rows[:50]))
    (folder / "qidpidtriples.train.full.2.tsv.gz").write_bytes(gzip.compress(triples.encode()))
    return folder


def test_ms_marco_opens_as_an_evaluation_set(ms_marco):
    opened = open_evaluation_set(ms_marco, split="dev")
    assert opened.corpus_size == 120
    assert opened.qrels["055"] == {"p55": 1}
    assert opened.queries["055"] == rows_of(60)[55]["query"]


def test_ms_marco_opens_with_all_that_its_archive_holds(ms_marco):
    # collectionandqueries.tar.gz has the small dev set beside the whole one, and eval queries that nobody judged.
    queries = (ms_marco / "queries.dev.tsv").read_text()
    (ms_marco / "queries.dev.small.tsv").write_text("".join(queries.splitlines(keepends=True)[:4]))
    (ms_marco / "queries.eval.tsv").write_text("900\twhat was never judged\n")
    judged = (ms_marco / "qrels.dev.tsv").read_text()
    (ms_marco / "qrels.dev.small.tsv").write_text("".join(judged.splitlines(keepends=True)[:4]))

    assert len(open_evaluation_set(ms_marco, split="dev").queries) == 10
    assert len(open_evaluation_set(ms_marco, split="dev.small").queries) == 4
    (ms_marco / "qrels.dev.tsv").unlink()
    assert len(open_evaluation_set(ms_marco, split="dev").queries) == 4


def test_one_id_for_two_queries_in_two_files_is_refused(ms_marco):
    (ms_marco / "queries.eval.tsv").write_text("055\tanother text\n")
    with pytest.raises(DataError, match=r"queries\.eval\.tsv, row 1, column '_id' is '055'"):
        open_evaluation_set(ms_marco, split="dev")


def test_trec_deep_learning_judgements_lie_beside_ms_marco_under_their_own_names(ms_marco):
    (ms_marco / "msmarco-test2019-queries.tsv").write_text("19335\tanthropological definition of environment\n")
    (ms_marco / "2019qrels-pass.txt").write_text("19335 Q0 p1 0\n19335 Q0 p2 3\n19335 Q0 p3 1\n")
    (ms_marco / "qrels.dl20-passage.txt").write_text("19335 0 p4 2\n")

    assert open_evaluation_set(ms_marco, split="2019").qrels == {"19335": {"p1": 0, "p2": 3, "p3": 1}}
    assert open_evaluation_set(ms_marco, split="dl20-passage").qrels == {"19335": {"p4": 2}}


def test_ms_marco_triples_of_ids_are_the_training_triplets(ms_marco, tmp_path, options):
    manifest = prepare(str(ms_marco), tmp_path / "V0", options(evaluation_split="dev"))

    assert manifest.counts["queries"] == 10
    assert manifest.counts["train"] + manifest.counts["dev"] == 50
    found = {row["query_id"]: row for name in (TRAIN, DEV) for row in table_of(tmp_path / "V0" / name)}
    assert found["007"]["negative"] == f'a "quoted" {rows_of(8)[7]["negative"]}'


def test_ms_marco_triples_of_texts_are_read_without_quoting(tmp_path, options):
    rows = rows_of(60)
    rows[3]["query"] = 'who said "so'
    path = tmp_path / "triples.train.small.tsv"
    path.write_text("".join(f"{row['query']}\t{row['positive']}\t{row['negative']}\n" for row in rows))
    manifest = prepare(str(path), tmp_path / "V0", options())

    assert manifest.counts["train"] + manifest.counts["dev"] + manifest.counts["queries"] == 60


@pytest.mark.parametrize("query", ["a real question {}", "{}"], ids=["texts and ids", "ids alone"])
def test_read_ids_where_texts_belong_is_refused(tmp_path, options, query):
    lines = [f"{query.format(number)}\t{7_000_000 + number}\tdoc-{number}\n" for number in range(60)]
    (tmp_path / "triples.tsv").write_text("".join(lines))
    with pytest.raises(DataError, match=r"triples\.tsv holds ids such as '7000000' where texts belong; bring the coll"):
        prepare(str(tmp_path / "triples.tsv"), tmp_path / "V0", options())


def test_beir_training_pairs_get_a_negative_that_is_not_judged_relevant(tmp_path, options):
    rows = rows_of(60)
    folder = write_beir(
        tmp_path / "beir",
        passages={f"p{number}": {"title": "", "text": row["positive"]} for number, row in enumerate(rows)},
        queries={row["query_id"]: {"text": row["query"]} for row in rows},
        qrels={"train": [(row["query_id"], f"p{number}", 1) for number, row in enumerate(rows)]},
    )
    first = prepare(str(folder), tmp_path / "V0", options())
    again = prepare(str(folder), tmp_path / "V1", options())

    assert first.counts["queries"] == 10  # no test split: queries are held out
    assert first.digest == again.digest
    assert all(row["negative"] != row["positive"] for row in table_of(tmp_path / "V0" / TRAIN))


def test_a_collection_with_several_splits_and_none_to_train_on_says_what_it_has(tmp_path, options):
    folder = write_beir(
        tmp_path / "beir",
        passages={"p": {"text": "a passage"}},
        queries={"q": {"text": "a query"}},
        qrels={"test": [("q", "p", 1)]},
    )
    (folder / "qrels" / "dev.tsv").write_text("q\tp\t1\n")
    (folder / "qrels" / "other.tsv").write_text("q\tp\t1\n")
    with pytest.raises(DataError, match="no split 'train'; it has dev, other, test"):
        prepare(str(folder), tmp_path / "V0", options())


def test_graded_judgements_are_kept(tmp_path):
    folder = write_beir(
        tmp_path / "beir",
        passages={name: {"text": f"passage {name}"} for name in "abcd"},
        queries={"q": {"text": "a query"}},
        qrels={"test": [("q", "a", 3), ("q", "b", 2), ("q", "c", 0), ("q", "d", -1)]},
    )
    assert open_evaluation_set(folder).qrels == {"q": {"a": 3, "b": 2, "c": 0, "d": -1}}
