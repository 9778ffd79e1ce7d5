import pytest

from components.errors import DataError
from components.prepare.database import scratch_database
from components.prepare.options import PrepareOptions
from components.prepare.raw.data import load, local_data
from tests.components.prepare.conftest import rows_of, write_rows

FORMATS = [
    "parquet", "csv", "tsv", "jsonl", "csv.gz", "tsv.gz", "jsonl.gz", "csv.zst", "tsv.zst", "jsonl.zst", "ndjson",
]  # fmt: skip


def read(path):
    with scratch_database("256MB", path.parent) as database:
        load(database, local_data(str(path), path), PrepareOptions(seed=1), path.parent / "staged")
        return database.execute("SELECT query_id, query, positive, negative FROM raw ORDER BY row").fetchall()


def rules_of(path):
    with scratch_database("256MB", path.parent) as database:
        rules = load(database, local_data(str(path), path), PrepareOptions(seed=1), path.parent / "staged")
        return {rule.description: rule.dropped for rule in rules}


def values(rows):
    return [tuple(row[name] for name in ("query_id", "query", "positive", "negative")) for row in rows]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_reads_the_same(tmp_path, kind):
    rows = rows_of(20)
    rows[3]["query"] = 'a "quoted" word, a comma\nand a second line\twith a tab'
    rows[4]["positive"] = "Größe, 漢字, 🦉"
    assert read(write_rows(tmp_path / f"raw.{kind}", rows)) == values(rows)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_ids_that_look_like_numbers_stay_as_they_are(tmp_path, kind):
    rows = rows_of(4)
    for row, query_id in zip(rows, ["007", "1e3", "0x10", "+5"], strict=True):
        row["query_id"] = query_id
    assert [row[0] for row in read(write_rows(tmp_path / f"raw.{kind}", rows))] == ["007", "1e3", "0x10", "+5"]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_an_integer_id_is_its_digits(tmp_path, kind):
    rows = [{**row, "query_id": number} for number, row in enumerate(rows_of(3))]
    assert [row[0] for row in read(write_rows(tmp_path / f"raw.{kind}", rows))] == ["0", "1", "2"]


def test_a_folder_of_shards_is_read_whole_in_name_order(tmp_path):
    rows = rows_of(30)
    (tmp_path / "shards" / "deep").mkdir(parents=True)
    write_rows(tmp_path / "shards" / "a.csv", rows[:10])
    write_rows(tmp_path / "shards" / "b.jsonl.gz", rows[10:20])
    write_rows(tmp_path / "shards" / "deep" / "c.parquet", rows[20:])
    (tmp_path / "shards" / "README.md").write_text("not data")
    (tmp_path / "shards" / "dataset_infos.json").write_text("{}")
    (tmp_path / "shards" / ".cache.csv").write_text("not data")
    assert read(tmp_path / "shards") == values(rows)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_list_of_negatives_becomes_a_row_for_each(tmp_path, kind):
    rows = [{**row, "negative": [f"wrong {number} a", f"wrong {number} b"]} for number, row in enumerate(rows_of(3))]
    found = read(write_rows(tmp_path / f"raw.{kind}", rows))
    assert [row[3] for row in found] == ["wrong 0 a", "wrong 0 b", "wrong 1 a", "wrong 1 b", "wrong 2 a", "wrong 2 b"]
    assert [row[0] for row in found] == ["000", "000", "001", "001", "002", "002"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_numbered_negatives_become_a_row_for_each(tmp_path, kind):
    rows = rows_of(2)
    for row in rows:
        row.update({"negative_1": row.pop("negative"), "negative_2": "another", "negative_10": "a last one"})
    rows[1]["negative_2"] = ""
    found = read(write_rows(tmp_path / f"raw.{kind}", rows))
    assert [row[3] for row in found[:3]] == [rows[0]["negative_1"], "another", "a last one"]
    assert [row[3] for row in found[3:]] == [rows[1]["negative_1"], "a last one"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("column", ["query", "positive", "negative"])
def test_a_missing_column_is_named(tmp_path, kind, column):
    rows = rows_of(3)
    for row in rows:
        del row[column]
    with pytest.raises(DataError, match=rf"raw\.{kind} has no column '{column}'; it has "):
        read(write_rows(tmp_path / f"raw.{kind}", rows))


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("raw.csv", b"", r"raw\.csv is empty"),
        ("raw.jsonl", b"\n\n", r"raw\.jsonl is empty"),
        ("raw.csv", b"query_id,query,positive,negative\n", r"raw\.csv has no row"),
        ("raw.csv", b"query_id,query,query,negative\n", r"raw\.csv names the column 'query' twice"),
        (
            "raw.csv",
            b"query_id,query,positive,negative\n1,a,b\n",
            r"1 of 1 .*raw\.csv.*\(100%\).*number of values.*line 2",
        ),
        (
            "raw.csv",
            b"query_id,query,positive,negative\n1,a,b,c,d\n",
            r"1 of 1 .*raw\.csv.*\(100%\).*number of values.*line 2",
        ),
        ("raw.csv", b'query_id,query,positive,negative\n1,"a,b,c\n', r"raw\.csv cannot be read beyond line 2"),
        ("raw.csv", b"query_id,query,positive,negative\n1,caf\xe9,b,c\n", r"raw\.csv, line 2 is not UTF-8"),
        ("raw.csv", "query_id,query\n".encode("utf-16") + b"\x00", r"raw\.csv begins with .* UTF-16 and is not"),
        ("raw.csv", b"query_id,query,positive,negative\r1,a,b,c\r", r"raw\.csv cannot be read beyond line 1"),
        ("raw.csv.gz", b"query_id,query\n", r"raw\.csv\.gz cannot be read"),
        ("raw.parquet", b"PAR1 no", r"raw\.parquet is not a readable Parquet file"),
        ("raw.jsonl", b'{"query_id": 1, "query": "a"', r"raw\.jsonl, line 1 is not JSON"),
        ("raw.jsonl", b"[1]\n", r"raw\.jsonl, line 1 is list"),
        (
            "raw.jsonl",
            b'{"query_id": 1, "query": {"a": 1}, "positive": "b", "negative": "c"}\n',
            r"1 of 1 .*raw\.jsonl.*column 'query' holds an object and not a text \(raw\.jsonl line 1\)",
        ),
        ("raw.xlsx", b"PK", r"raw\.xlsx is of no known format"),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path, name, content, complaint):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=complaint) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["csv.gz", "jsonl.gz", "csv.zst", "jsonl.zst"])
@pytest.mark.parametrize("kept", [0.3, 0.99])
def test_a_truncated_archive_is_an_error_and_not_half_the_data(tmp_path, kind, kept):
    path = write_rows(tmp_path / f"raw.{kind}", rows_of(3000))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DataError, match=rf"raw\.{kind}"):
        read(path)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path, kind):
    rows = rows_of(3)
    path = write_rows(tmp_path / f"raw.{kind}", rows)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read(path) == values(rows)


def test_nothing_there_names_the_place(tmp_path):
    with pytest.raises(DataError, match="There is no file or folder"):
        read(tmp_path / "nowhere.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no file that could be read"):
        read(tmp_path / "empty")
