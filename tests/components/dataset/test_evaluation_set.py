import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.dataset.evaluation_set import open_evaluation_set
from components.errors import DataError
from tests.components.prepare.conftest import write_beir

PASSAGES = {
    "d1": {"title": "Alpha", "text": "the first letter"},
    "d2": {"title": "", "text": "the second letter"},
    "d3": {"text": "the third letter"},
}
QUERIES = {
    "q1": {"text": "first letter", "metadata": {"kind": "order"}, "length": 2},
    "q2": {"text": "any letter", "length": 2},
    "q3": {"text": "never judged"},
}
QRELS = [("q1", "d1", 2), ("q2", "d2", 1), ("q2", "d3", 0)]


def beir(tmp_path, *, passages=None, queries=None, qrels=None, name="set", compress=False):
    return write_beir(
        tmp_path / name,
        passages=PASSAGES if passages is None else passages,
        queries=QUERIES if queries is None else queries,
        qrels={"test": QRELS if qrels is None else qrels},
        compress=compress,
    )


def as_dataset_version(directory, corpus, queries, qrels):
    directory.mkdir()
    for name, rows in (("corpus", corpus), ("queries", queries), ("qrels", qrels)):
        pq.write_table(pa.Table.from_pylist(rows), directory / f"{name}.parquet")
    return directory


def test_a_beir_folder_is_read_as_it_is_published(tmp_path):
    opened = open_evaluation_set(beir(tmp_path))

    assert opened.name == "set/test"
    assert opened.queries == {"q1": "first letter", "q2": "any letter"}
    assert opened.qrels == {"q1": {"d1": 2}, "q2": {"d2": 1, "d3": 0}}
    assert opened.corpus_size == 3
    assert list(opened.passages(2)) == [
        [("d1", "Alpha the first letter"), ("d2", "the second letter")],
        [("d3", "the third letter")],
    ]
    assert opened.texts(["d3", "d1", "nowhere"]) == {"d1": "Alpha the first letter", "d3": "the third letter"}
    assert opened.texts([]) == {}


def test_further_columns_of_the_queries_are_kept_for_slices(tmp_path):
    assert open_evaluation_set(beir(tmp_path)).query_columns == {"kind": {"q1": "order"}, "length": {"q1": 2, "q2": 2}}


def test_the_digest_is_of_the_content_and_not_of_the_files(tmp_path):
    plain = open_evaluation_set(beir(tmp_path))
    compressed = open_evaluation_set(beir(tmp_path, name="compressed", compress=True))
    reversed_rows = open_evaluation_set(
        beir(tmp_path, name="reversed", passages=dict(reversed(PASSAGES.items())), qrels=QRELS[::-1])
    )
    version = open_evaluation_set(
        as_dataset_version(
            tmp_path / "V0",
            [{"passage_id": key, "text": f"{p.get('title', '')} {p['text']}".strip()} for key, p in PASSAGES.items()],
            [{"query_id": key, "query": query["text"]} for key, query in QUERIES.items()],
            [{"query_id": q, "passage_id": p, "relevance": r} for q, p, r in QRELS],
        )
    )
    assert plain.digest == compressed.digest == reversed_rows.digest == version.digest


@pytest.mark.parametrize(
    "change",
    [
        {"passages": {**PASSAGES, "d3": {"text": "the third lettes"}}},
        {"passages": {**PASSAGES, "d4": {"text": "one more"}}},
        {"queries": {**QUERIES, "q1": {"text": "first lettes"}}},
        {"qrels": [("q1", "d1", 1), *QRELS[1:]]},
        {"qrels": QRELS[:2]},
    ],
    ids=["one byte of a passage", "a passage more", "one byte of a query", "a grade", "a judgement less"],
)
def test_any_change_of_the_content_changes_the_digest(tmp_path, change):
    assert open_evaluation_set(beir(tmp_path)).digest != open_evaluation_set(beir(tmp_path, name="b", **change)).digest


def test_other_splits_are_there_by_name(tmp_path):
    folder = beir(tmp_path)
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq3\td1\t1\n")
    assert open_evaluation_set(folder, split="train").queries == {"q3": "never judged"}
    with pytest.raises(DataError, match="no split 'dev'; it has test, train"):
        open_evaluation_set(folder, split="dev")


@pytest.mark.parametrize(
    "text",
    ["q1 0 d1 2\nq2 0 d2 1\nq2 0 d3 0\n", "q1\t0\td1\t2\nq2\t0\td2\t1\nq2\t0\td3\t0\n", "q1 d1 2\nq2 d2 1\nq2 d3 0\n"],
    ids=["trec with spaces", "trec with tabs", "three columns without header"],
)
def test_qrels_of_other_tools_are_read_as_they_are(tmp_path, text):
    folder = beir(tmp_path)
    (folder / "qrels" / "test.tsv").write_text(text)
    assert open_evaluation_set(folder).qrels == {"q1": {"d1": 2}, "q2": {"d2": 1, "d3": 0}}


def test_a_passage_without_text_is_dropped_and_counted(tmp_path):
    passages = {**PASSAGES, "d4": {"title": " ", "text": ""}}
    opened = open_evaluation_set(beir(tmp_path, passages=passages))
    assert opened.corpus_size == 3
    assert opened.dropped == {"empty passages": 1}


MANY = [(f"q{number}", f"d{number}", 1) for number in range(40)]


def many(tmp_path, qrels):
    """A collection of 40 queries and passages; d5 has no text."""
    passages = {f"d{number}": {"text": "" if number == 5 else f"passage {number}"} for number in range(40)}
    queries = {f"q{number}": {"text": f"query {number}"} for number in range(40)}
    return open_evaluation_set(beir(tmp_path, passages=passages, queries=queries, qrels=qrels))


def test_open_evaluation_set_drops_a_judgement_that_points_nowhere_and_counts_it(tmp_path):
    opened = many(tmp_path, [*MANY, ("q3", "nowhere", 1)])
    assert opened.dropped == {
        "empty passages": 1,
        "judgements of empty passages (test.tsv row 7)": 1,
        "judgements of missing passages, which corpus.jsonl does not have (test.tsv row 42)": 1,
    }
    assert opened.qrels["q3"] == {"d3": 1}
    assert "q5" not in opened.queries


def test_open_evaluation_set_refuses_many_judgements_that_point_nowhere_with_the_share(tmp_path):
    with pytest.raises(DataError, match=r"3 of 42 judgements of .*test\.tsv \(7%\).*at most 5%"):
        many(tmp_path, [*MANY, ("q3", "nowhere", 1), ("q4", "nowhere", 1)])


@pytest.mark.parametrize(
    ("qrels", "hint"),
    [
        ([(passage, query, 1) for query, passage, _ in MANY], "its columns look swapped"),
        ([(query, "a passage about wheels", 1) for query, _, _ in MANY], "that is a text where an id belongs"),
    ],
    ids=["swapped", "texts"],
)
def test_open_evaluation_set_says_what_ids_that_do_not_resolve_look_like(tmp_path, qrels, hint):
    with pytest.raises(DataError, match=hint):
        many(tmp_path, qrels)


@pytest.mark.parametrize(
    ("header", "order"),
    [
        ("corpus-id\tquery-id\tscore", (1, 0, 2)),
        ("score\tquery_id\tcorpus_id", (2, 0, 1)),
        ("docid iter qid rel", (1, None, 0, 2)),
        ("topic\titeration\tdocno\tnote\trelevance", (0, None, 1, None, 2)),
        ("query-id\tcorpus-id\tscore", (0, None, 1, 2)),
    ],
    ids=["passage first", "score first", "four by name", "five by name", "TREC's rows below BEIR's header"],
)
def test_read_qrels_finds_columns_by_the_names_in_the_header(tmp_path, header, order):
    folder = beir(tmp_path)
    separator = "\t" if "\t" in header else " "
    lines = [header, *(separator.join("x" if n is None else str(row[n]) for n in order) for row in QRELS)]
    (folder / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n")
    assert open_evaluation_set(folder).qrels == {"q1": {"d1": 2}, "q2": {"d2": 1, "d3": 0}}


def test_read_qrels_with_a_header_that_lacks_a_column_is_refused(tmp_path):
    folder = beir(tmp_path)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tweight\nq1\td1\t1\n")
    with pytest.raises(DataError, match=r"test\.tsv, row 1 names the columns .* none for the relevance"):
        open_evaluation_set(folder)


def test_a_judgement_given_twice_counts_once(tmp_path):
    opened = open_evaluation_set(beir(tmp_path, qrels=[*QRELS, QRELS[0]]))
    assert opened.qrels["q1"] == {"d1": 2}
    assert opened.dropped == {"repeated judgements": 1}


def test_a_set_of_one_query_is_a_set(tmp_path):
    assert open_evaluation_set(beir(tmp_path, qrels=[("q1", "d2", 1)])).queries == {"q1": "first letter"}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"qrels": [("q1", "d9", 1)]}, r"qrels/test\.tsv \(100%\).*corpus\.jsonl.* row 2, column 'corpus-id': 'd9'"),
        ({"qrels": [("q9", "d1", 1)]}, r"qrels/test\.tsv \(100%\).*queries\.jsonl.* row 2, column 'query-id': 'q9'"),
        ({"qrels": [("q1", "d1", "high")]}, r"qrels/test\.tsv, row 2, column 'score' is 'high'"),
        ({"qrels": [("q1", "d1", "0.5")]}, r"qrels/test\.tsv, row 2, column 'score' is '0\.5'"),
        ({"qrels": [("q1", "d1", "nan")]}, r"qrels/test\.tsv, row 2, column 'score' is 'nan'"),
        ({"qrels": [("q1", "d1")]}, r"qrels/test\.tsv, row 2 has 2 values"),
        ({"qrels": [*QRELS, ("q1", "d1", 1)]}, r"qrels/test\.tsv, row 5, column 'score' is 1 where row 2"),
        ({"qrels": []}, r"test\.tsv has no judgement"),
        (
            {"queries": {**QUERIES, "q1": {"text": " "}}},
            r"1 of 3 .*\(33%\).*empty queries, such as row 2, column 'query-id': 'q1'",
        ),
        ({"queries": {"q1": {"title": "no text"}}}, r"queries\.jsonl, row 1 has no column 'text'; it has _id, title"),
        ({"passages": {"d1": {"text": 7}}}, r"corpus\.jsonl, row 1, column 'text' is 7 and not a text"),
        ({"passages": {"": {"text": "a"}}}, r"corpus\.jsonl, row 1, column '_id' is ''"),
    ],
)
def test_what_is_wrong_is_named_by_file_row_and_column(tmp_path, change, complaint):
    with pytest.raises(DataError, match=complaint):
        open_evaluation_set(beir(tmp_path, **change))


def test_an_id_that_is_there_twice_is_an_error(tmp_path):
    folder = beir(tmp_path)
    with (folder / "corpus.jsonl").open("a") as stream:
        stream.write(json.dumps({"_id": "d2", "text": "again"}) + "\n")
    with pytest.raises(DataError, match=r"corpus\.jsonl, row 4, column '_id' is 'd2'"):
        open_evaluation_set(folder)


@pytest.mark.parametrize("missing", ["queries.jsonl", "qrels/test.tsv"])
def test_a_part_that_is_missing_is_named(tmp_path, missing):
    folder = beir(tmp_path)
    (folder / missing).unlink()
    with pytest.raises(DataError, match=r"no queries\.jsonl|no qrels"):
        open_evaluation_set(folder)


CORPUS_ROWS = [{"passage_id": "d1", "text": "one"}, {"passage_id": "d2", "text": "two"}]
QUERY_ROWS = [{"query_id": "q1", "query": "which"}]
QRELS_ROWS = [{"query_id": "q1", "passage_id": "d1", "relevance": 1}]


@pytest.mark.parametrize(
    ("corpus", "queries", "qrels", "complaint"),
    [
        ([{"passage_id": "d1"}], QUERY_ROWS, QRELS_ROWS, r"corpus\.parquet has no column 'text'"),
        ([*CORPUS_ROWS, CORPUS_ROWS[0]], QUERY_ROWS, QRELS_ROWS, r"corpus\.parquet, row 3, column 'passage_id'"),
        ([{"passage_id": "d1", "text": ""}], QUERY_ROWS, QRELS_ROWS, r"corpus\.parquet, row 1, column 'text' is ''"),
        (CORPUS_ROWS, [{"query_id": "q1", "query": None}], QRELS_ROWS, r"queries\.parquet, row 1, column 'query'"),
        (CORPUS_ROWS, QUERY_ROWS, [{**QRELS_ROWS[0], "passage_id": "d9"}], r"qrels\.parquet, row 1, column 'passage"),
        (CORPUS_ROWS, QUERY_ROWS, [{**QRELS_ROWS[0], "query_id": "q9"}], r"qrels\.parquet, row 1, column 'query_id'"),
        (CORPUS_ROWS, QUERY_ROWS, [{**QRELS_ROWS[0], "relevance": 0.5}], r"parquet, row 1, column 'relevance' is 0\.5"),
        (CORPUS_ROWS, QUERY_ROWS, [{**QRELS_ROWS[0], "relevance": float("nan")}], r"parquet, row 1, column 'rel"),
        (CORPUS_ROWS, [{"query_id": 1, "query": "a"}], QRELS_ROWS, r"queries\.parquet, column 'query_id' holds int64"),
        (CORPUS_ROWS, QUERY_ROWS, QRELS_ROWS * 2, r"qrels\.parquet, row 2, column 'passage_id' is 'd1'"),
    ],
)  # fmt: skip
def test_a_broken_dataset_version_is_named_too(tmp_path, corpus, queries, qrels, complaint):
    with pytest.raises(DataError, match=complaint):
        open_evaluation_set(as_dataset_version(tmp_path / "V0", corpus, queries, qrels))


def test_neither_one_nor_the_other(tmp_path):
    with pytest.raises(DataError, match="holds neither a dataset version"):
        open_evaluation_set(tmp_path)
    with pytest.raises(DataError, match="There is no folder"):
        open_evaluation_set(tmp_path / "nowhere")
