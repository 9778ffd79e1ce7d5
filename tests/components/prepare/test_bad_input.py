"""Whatever the bytes: a clear error or a right answer, never a traceback, never a silently wrong number."""

import csv
import gzip
import io
import json
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from components.dataset.evaluation_set import open_evaluation_set
from components.dataset.qrels import read_qrels
from components.dataset.text_file import numbered_lines
from components.errors import DataError
from components.prepare.database import scratch_database
from components.prepare.options import PrepareOptions
from components.prepare.raw.data import load, local_data

COLUMNS = ("query_id", "query", "positive", "negative")
#: Everything that UTF-8 can say, and more often what readers stumble over.
TEXTS = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from(list("\x00\t\r\n\"',;\\\ufeff\u2028\x85 ")),
    ),
    max_size=12,
)
ROWS = st.lists(st.tuples(*[TEXTS] * 4), min_size=1, max_size=5)
PROPERTY = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)


def read(content, name):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        with scratch_database("256MB", path.parent) as database:
            load(database, local_data(str(path), path), PrepareOptions(seed=1), path.parent / "staged")
            return database.execute(f"SELECT {', '.join(COLUMNS)} FROM raw ORDER BY row").fetchall()


def read_or_refuse(content, name):
    """What the reader makes of bytes; None when it refuses them in one sentence."""
    try:
        return read(content, name)
    except DataError as error:
        assert name in str(error)
        assert "\n" not in str(error)
        return None


def as_csv(rows, separator):
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return stream.getvalue().encode()


@PROPERTY
@given(ROWS, st.sampled_from([",", "\t"]))
@example([("007", "two\nlines", "a\x00b", '"')], ",")
@example([("1", "\ufeffmark", "a\r\nb", "\t")], "\t")
def test_what_was_written_as_csv_is_what_is_read(rows, separator):
    found = read_or_refuse(as_csv(rows, separator), "raw.tsv" if separator == "\t" else "raw.csv")
    # An empty field and no field are the same thing in CSV.
    assert found is None or [[value or "" for value in row] for row in found] == [list(row) for row in rows]


@PROPERTY
@given(ROWS, st.booleans(), st.booleans())
@example([("007", "two\nlines", "a\x00b", '"')], True, True)
def test_what_was_written_as_jsonl_is_what_is_read(rows, escaped, marked):
    lines = [json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=escaped) for row in rows]
    content = ("\n".join(lines) + "\n").encode()
    found = read((b"\xef\xbb\xbf" if marked else b"") + content, "raw.jsonl")
    assert [[value or "" for value in row] for row in found] == [list(row) for row in rows]


@PROPERTY
@given(st.binary(max_size=200), st.sampled_from(["raw.csv", "raw.tsv", "raw.jsonl", "raw.parquet", "raw.csv.gz"]))
@example(b"query_id,query,positive,negative\r1,a,b,c\r", "raw.csv")
def test_bytes_that_mean_nothing_are_refused(content, name):
    assert read_or_refuse(content, name) is None


@PROPERTY
@given(st.integers(0, 10_000), st.integers(0, 255), st.sampled_from(["raw.csv.gz", "raw.jsonl.gz"]))
def test_a_damaged_archive_is_refused_or_read_whole(place, value, name):
    rows = [(str(number), f"query {number}", f"positive {number}", f"negative {number}") for number in range(300)]
    lines = [json.dumps(dict(zip(COLUMNS, row, strict=True))) for row in rows]
    plain = as_csv(rows, ",") if "csv" in name else ("\n".join(lines) + "\n").encode()
    content = bytearray(gzip.compress(plain, mtime=0))
    content[place % len(content)] = value
    assert read_or_refuse(bytes(content), name) in (None, rows)


@PROPERTY
@given(st.integers(1, 5000), st.sampled_from(["raw.csv.gz", "raw.jsonl.gz"]))
def test_an_archive_that_is_cut_off_is_refused(place, name):
    rows = [(str(number), f"query {number}", f"positive {number}", f"negative {number}") for number in range(300)]
    lines = [json.dumps(dict(zip(COLUMNS, row, strict=True))) for row in rows]
    plain = as_csv(rows, ",") if "csv" in name else ("\n".join(lines) + "\n").encode()
    content = gzip.compress(plain)
    assert read_or_refuse(content[: place % len(content)], name) is None


@PROPERTY
@given(st.text(min_size=1, max_size=30), st.sampled_from(["utf-16", "utf-32", "latin-1", "cp1252"]))
def test_another_encoding_is_refused_or_says_the_same(text, encoding):
    document = "\n".join([",".join(COLUMNS), '1,"' + text.replace('"', '""') + '",p,n', ""])
    content = document.encode(encoding, "replace")
    found = read_or_refuse(content, "raw.csv")
    if found is not None and encoding.startswith("utf"):  # whose byte order marks say what they are
        assert found == [("1", text, "p", "n")]
    elif found is not None:
        assert content.decode("utf-8").endswith("p,n\n")


NAMES = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=6)


@PROPERTY
@given(
    st.dictionaries(st.tuples(NAMES, NAMES), st.integers(-2, 4), min_size=1, max_size=8),
    st.sampled_from(["\t", " ", "  "]),
    st.sampled_from(["", "0", "Q0"]),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
)
def test_qrels_with_tabs_or_spaces_say_the_same(judgements, separator, iteration, has_header, line_end):
    rows = [
        [query, *([iteration] if iteration else []), passage, str(grade)]
        for (query, passage), grade in judgements.items()
    ]
    lines = [separator.join(row) for row in rows]
    if has_header:
        named = ["query-id", *(["iteration"] if iteration else []), "corpus-id", "score"]
        lines.insert(0, separator.join(named))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test.tsv"
        path.write_bytes((line_end.join(lines) + line_end).encode())
        found = list(read_qrels(path))
    if not has_header and rows[0][0].lower() in {"query-id", "query_id", "qid", "queryid", "topic"}:
        return  # such a query looks like a header
    assert {(row.query_id, row.passage_id): row.relevance for row in found} == judgements


@PROPERTY
@given(st.binary(max_size=120))
def test_any_bytes_as_qrels(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test.tsv"
        path.write_bytes(content)
        try:
            assert all(row.query_id and row.passage_id for row in read_qrels(path))
        except DataError as error:
            assert "test.tsv" in str(error)


@PROPERTY
@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=40))
def test_any_bytes_as_a_beir_folder(corpus, queries, qrels):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "qrels").mkdir()
        (folder / "corpus.jsonl").write_bytes(b'{"_id": "d", "text": "one"}\n' + corpus)
        (folder / "queries.jsonl").write_bytes(b'{"_id": "q", "text": "two"}\n' + queries)
        (folder / "qrels" / "test.tsv").write_bytes(b"q\td\t1\n" + qrels)
        try:
            opened = open_evaluation_set(folder)
        except DataError as error:
            assert name in str(error)
        else:
            assert opened.queries["q"] == "two"
            assert opened.qrels["q"]["d"] == 1


@PROPERTY
@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Zl", "Zp", "Cc"]), max_size=20), max_size=6))
def test_lines_keep_their_numbers(lines):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.txt"
        path.write_text("".join(f"{line}\n" for line in ["first", *lines]), encoding="utf-8", newline="\n")
        found = dict(numbered_lines(path))
    assert found == {number: line for number, line in enumerate(["first", *lines], start=1) if line.strip()}
