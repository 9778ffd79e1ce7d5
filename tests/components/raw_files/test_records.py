"""What stands in a file's rows: every value held against what its column may hold, nothing lost without a count."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.dataset import byte_streams, text_file
from components.errors import DataError
from tests.components.prepare.conftest import rows_of, write_rows
from tests.components.prepare.raw.test_readers import read, rules_of, values


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_read_a_list_of_positives_makes_a_row_for_each(tmp_path, kind):
    rows = [{**row, "positive": [row["positive"], f"also right {number}"]} for number, row in enumerate(rows_of(3))]
    found = read(write_rows(tmp_path / f"raw.{kind}", rows))
    assert [row[2] for row in found[:2]] == rows[0]["positive"]
    assert len(found) == 6


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_read_passages_with_titles_are_title_and_text(tmp_path, kind):
    rows = [
        {
            "query_id": str(number),
            "query": f"query {number}",
            "positive_passages": [{"docid": "1", "title": "T", "text": "a"}],
            "negative_passages": [{"docid": "2", "title": "", "text": "b"}, {"docid": "3", "title": "U", "text": "c"}],
        }
        for number in range(2)
    ]
    assert read(write_rows(tmp_path / f"raw.{kind}", rows)) == [
        (str(number), f"query {number}", "T a", negative) for number in range(2) for negative in ("b", "U c")
    ]


def test_read_flagembedding_rows_give_every_positive_and_every_negative_and_no_score(tmp_path):
    record = {
        "query": "which one",
        "pos": ["right 1", "right 2"],
        "neg": ["wrong 1", "wrong 2", "wrong 3"],
        "pos_scores": [0.9, 0.8],
        "neg_scores": [0.1],
    }
    found = read(write_lines(tmp_path / "raw.jsonl", [record, {**record, "query": "another one"}]))
    assert [row[2:] for row in found[:3]] == [
        ("right 1", "wrong 1"),
        ("right 2", "wrong 2"),
        ("right 1", "wrong 3"),
    ]
    assert found[0][0] != found[3][0]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("negatives", [("negative",), ("negative_1", "negative_2"), ("negative1", "negative2")])
def test_read_anchor_positive_negative_without_an_id(tmp_path, kind, negatives):
    rows = [
        {"anchor": f"which {number}", "positive": f"right {number}"} | {name: f"{name} {number}" for name in negatives}
        for number in range(4)
    ]
    found = read(write_rows(tmp_path / f"raw.{kind}", rows))
    assert [row[1:] for row in found] == [
        (f"which {number}", f"right {number}", f"{name} {number}") for number in range(4) for name in negatives
    ]
    assert len({row[0] for row in found}) == 4


@pytest.mark.parametrize("header", ["Query,Positive,Negative", "query,positive,negative,query-id"])
def test_read_header_names_count_in_any_case_and_order(tmp_path, header):
    (tmp_path / "raw.csv").write_text(f"{header}\na,b,c,7\n" if "id" in header else f"{header}\na,b,c\n")
    assert read(tmp_path / "raw.csv")[0][1:] == ("a", "b", "c")


def test_read_columns_that_begin_after_the_first_hundred_lines_are_read(tmp_path):
    records = rows_of(150)
    for record in records[120:]:
        record["negative_2"] = f"second wrong {record['query_id']}"
    found = read(write_lines(tmp_path / "raw.jsonl", records))
    assert len(found) == 180
    assert sum("second wrong" in row[3] for row in found) == 30


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"positive": 7}, "column 'positive' holds a number and not a text"),
        ({"positive": {"body": "x"}}, "column 'positive' holds an object without a text under 'text'"),
        ({"negative": ["a", 3]}, "column 'negative' is a list that holds a number and not a text"),
        ({"negative": [["a"]]}, "column 'negative' is a list that holds a list and not a text"),
        ({"query": ["a"]}, "column 'query' holds a list and not a text"),
        ({"query": True}, "column 'query' holds true or false and not a text"),
        ({"query_id": 1.5}, "column 'query_id' holds a number and not a text"),
        ({"query": "half \ud800"}, "column 'query' holds half of a UTF-16 surrogate pair and no whole character"),
    ],
)
def test_read_a_value_of_the_wrong_kind_drops_its_row_with_reason_and_line(tmp_path, value, reason):
    records = rows_of(40)
    records[2].update(value)
    path = write_lines(tmp_path / "raw.jsonl", records)
    assert rules_of(path) == {f"{reason} (raw.jsonl line 3)": 1}
    assert read(path) == values([*records[:2], *records[3:]])


def test_read_more_than_a_twentieth_of_wrong_rows_is_refused_with_the_share(tmp_path):
    records = rows_of(40)
    for record in records[10:13]:
        record["positive"] = 3
    with pytest.raises(DataError, match=r"3 of 40 rows .*\(8%\).*holds a number.*line 11, 12, 13"):
        read(write_lines(tmp_path / "raw.jsonl", records))


@pytest.mark.parametrize(
    ("column", "kind", "reason"),
    [
        (pa.array([[1]] * 3), "positive", "column 'positive' is a list that holds a number"),
        (pa.array([{"body": "x"}] * 3), "positive", "column 'positive' holds an object without a text"),
        (pa.array([1.5] * 3), "query_id", "column 'query_id' holds a number"),
    ],
)
def test_read_parquet_columns_of_other_types_are_refused(tmp_path, column, kind, reason):
    table = pa.Table.from_pylist(rows_of(3)).drop_columns([kind]).append_column(kind, column)
    pq.write_table(table, tmp_path / "raw.parquet")
    with pytest.raises(DataError, match=f"3 of 3 .*{reason}"):
        read(tmp_path / "raw.parquet")


def test_read_parquet_with_a_column_twice_is_one_sentence(tmp_path):
    table = pa.Table.from_pylist(rows_of(3))
    pq.write_table(table.append_column("query", table.column("query")), tmp_path / "raw.parquet")
    with pytest.raises(DataError, match=r"raw\.parquet names the column 'query' twice"):
        read(tmp_path / "raw.parquet")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_read_an_index_that_pandas_wrote_is_left_out(tmp_path, kind):
    import pandas as pd

    frame = pd.DataFrame(rows_of(5)).iloc[[3, 1, 2, 0, 4]]
    path = tmp_path / f"raw.{kind}"
    frame.to_csv(path) if kind == "csv" else frame.to_parquet(path, index=True)
    assert read(path) == values(frame.to_dict("records"))


def test_read_csv_rows_of_another_length_are_dropped_by_line(tmp_path):
    path = write_rows(tmp_path / "raw.csv", rows_of(40))
    lines = path.read_text().splitlines()
    lines.insert(5, "1,2")
    path.write_text("\n".join(lines) + "\n")
    assert rules_of(path) == {"the row has another number of values than the 4 columns (raw.csv line 6)": 1}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_read_utf_16_with_a_mark_says_the_same(tmp_path, kind, encoding):
    rows = rows_of(30)
    rows[3]["query"] = "Größe, 漢字, 🦉"
    path = write_rows(tmp_path / f"raw.{kind}", rows)
    mark = "" if encoding == "utf-16" else "\ufeff"
    path.write_bytes((mark + path.read_text(encoding="utf-8")).encode(encoding))
    assert read(path) == values(rows)


def test_read_a_name_with_brackets_is_that_file_and_no_other(tmp_path):
    write_rows(tmp_path / "bracket1.csv", rows_of(3))
    rows = rows_of(6)[3:]
    assert read(write_rows(tmp_path / "bracket[1].csv", rows)) == values(rows)


class TestHostile:
    def test_open_bytes_that_expand_beyond_all_proportion_are_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(byte_streams, "ALWAYS_ALLOWED", 1 << 20)
        row = b"1,a query,a right passage,a wrong one\n"
        (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(b"query_id,query,positive,negative\n" + row * 500_000))
        with pytest.raises(DataError, match=r"bomb\.csv\.gz \(.* bytes\) expands to more than .* 200 times"):
            read(tmp_path / "bomb.csv.gz")

    def test_raw_lines_that_never_end_are_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(text_file, "LONGEST_LINE", 1 << 20)
        (tmp_path / "raw.jsonl").write_bytes(b'{"query": "' + b"x" * (3 << 20))
        with pytest.raises(DataError, match=r"raw\.jsonl, line 1 is longer than 1,048,576 bytes"):
            read(tmp_path / "raw.jsonl")
