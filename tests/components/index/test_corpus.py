"""A corpus as people have it becomes passages in order; what cannot be used is told with its file and row."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import DataError
from components.index.corpus import sort_corpus
from components.index.passages import LONGEST, Passage, corpus_files, passages_of
from components.index.sources import corpus_passages
from components.search.shard import HASH_BYTES, content_hash
from tests.factories.evaluation_sets import CORPUS, write_beir_folder, write_dataset_version

ROWS = [("b", "second text"), ("a", "first text, with an é"), ("ä", "third")]


def write(path, rows=ROWS, names=("id", "text")):
    if path.suffix == ".parquet":
        pq.write_table(pa.table(dict(zip(names, zip(*rows, strict=True), strict=True))), path)
    elif path.suffix == ".csv":
        path.write_text("\n".join(",".join(f'"{value}"' for value in row) for row in [names, *rows]) + "\n")
    else:
        lines = "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)
        path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())
    return path


def sorted_rows(uri, scratch, dataset=None):
    scratch.mkdir(exist_ok=True)
    corpus = sort_corpus(corpus_passages(str(uri), dataset, scratch), scratch)
    pairs = [pair for batch in corpus.batches(2) for pair in zip(batch.ids, batch.texts, strict=True)]
    return corpus, pairs


@pytest.mark.parametrize("name", ["corpus.parquet", "corpus.csv", "corpus.jsonl", "corpus.jsonl.gz"])
def test_corpus_of_every_format_is_the_same_in_order_of_ids(tmp_path, name):
    corpus, rows = sorted_rows(write(tmp_path / name), tmp_path / "scratch")
    assert rows == sorted(ROWS, key=lambda row: row[0].encode())
    other, _ = sorted_rows(write(tmp_path / "other.jsonl", ROWS[::-1]), tmp_path / "again")
    assert corpus.digest == other.digest
    assert corpus.count == 3


def test_corpus_digest_changes_with_a_text_and_with_an_id(tmp_path):
    changed = ([("b", "second text"), ("a", "first text"), ("ä", "third")], [*ROWS[:2], ("c", "third")])
    digests = {
        sorted_rows(write(tmp_path / f"{number}.jsonl", rows), tmp_path / str(number))[0].digest
        for number, rows in enumerate([ROWS, *changed])
    }
    assert len(digests) == 3


def test_corpus_of_a_dataset_is_its_own_and_of_a_beir_folder_its_corpus_file(tmp_path):
    expected = sorted(CORPUS.items())
    dataset = write_dataset_version(tmp_path / "dataset")
    assert sorted_rows("dataset", tmp_path / "one", dataset)[1] == expected
    assert sorted_rows(dataset, tmp_path / "two")[1] == expected
    assert sorted_rows(write_beir_folder(tmp_path / "beir"), tmp_path / "three")[1] == expected


def test_corpus_in_shards_of_a_folder_is_read_whole(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    write(folder / "one.jsonl", ROWS[:1])
    write(folder / "two.parquet", ROWS[1:])
    assert [path.name for path in corpus_files(folder, "x")] == ["one.jsonl", "two.parquet"]
    assert len(sorted_rows(folder, tmp_path / "scratch")[1]) == 3


def test_passage_gets_its_title_and_an_id_made_of_its_text(tmp_path):
    path = write(tmp_path / "corpus.jsonl", [("On sets", "A set has no order.")], ("title", "contents"))
    (found,) = passages_of(path)
    assert found.text == "On sets A set has no order."
    assert len(found.passage_id) == 32
    assert [found.passage_id] == [row.passage_id for row in passages_of(path)]


def test_numbers_are_ids_and_stay_as_they_are(tmp_path):
    path = write(tmp_path / "corpus.jsonl", [(7, "seven"), (10, "ten")])
    assert sorted_rows(path, tmp_path / "scratch")[1] == [("10", "ten"), ("7", "seven")]


def test_empty_and_repeated_passages_are_left_out_and_counted(tmp_path):
    rows = [*ROWS, ("a", ROWS[1][1]), ("d", " \t\n"), ("e", ""), ("f", None)]
    corpus, found = sorted_rows(write(tmp_path / "corpus.jsonl", rows), tmp_path / "scratch")
    assert corpus.dropped == {"empty": 3, "repeated": 1}
    assert [name for name, _ in found] == ["a", "b", "ä"]


@pytest.mark.parametrize(
    ("rows", "names", "sentence"),
    [
        pytest.param(
            [("a", "one"), ("b", "two"), ("a", "three")], ("id", "text"),
            r"corpus\.jsonl, row 3 has the id 'a', which .*row 1 has with another text", id="id twice",
        ),
        pytest.param([("a", " "), ("b", None)], ("id", "text"), "no passage: all 2 rows are empty", id="all empty"),
        pytest.param([("a", "one")], ("id", "words"), "row 1 has no column 'text' or", id="no text column"),
        pytest.param([("a", 7)], ("id", "text"), "row 1, column 'text' is 7; a passage is a text", id="a number"),
        pytest.param([("a", "x"), (None, "y")], ("id", "text"), "row 2, column 'id' is empty", id="no id"),
        pytest.param([(1.5, "x")], ("id", "text"), "row 1, column 'id' is 1.5; an id is", id="a fraction as id"),
        pytest.param(
            [("a", "x" * (LONGEST + 1))], ("id", "text"), "row 1 has 100,001 characters.*split texts", id="too long"
        ),
    ],
)  # fmt: skip
def test_corpus_that_cannot_be_used_is_refused_with_its_row(tmp_path, rows, names, sentence):
    with pytest.raises(DataError, match=sentence):
        sorted_rows(write(tmp_path / "corpus.jsonl", rows, names), tmp_path / "scratch")


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        pytest.param("nowhere.jsonl", "There is no corpus at nowhere.jsonl; give a file or folder", id="no file"),
        pytest.param("ftp://host/corpus", "has the unknown scheme 'ftp'; give .* or 'dataset'", id="scheme"),
        pytest.param("dataset", "no dataset is named", id="no dataset"),
    ],
)
def test_corpus_that_is_not_there_is_refused(tmp_path, uri, sentence):
    with pytest.raises(DataError, match=sentence):
        sorted_rows(uri, tmp_path / "scratch")


def test_corpus_in_a_folder_without_data_is_refused(tmp_path):
    (tmp_path / "notes.md").write_text("nothing")
    with pytest.raises(DataError, match=r"holds no \.parquet"):
        sorted_rows(tmp_path, tmp_path / "scratch")


def test_sort_corpus_finds_texts_of_the_previous_index_wherever_they_are_now(tmp_path):
    held = [np.frombuffer(content_hash(text), np.uint8).reshape(1, HASH_BYTES) for text in ("x", "third", "third")]
    rows = [Passage("", "new id", "third"), Passage("", "other", "fourth")]
    (batch,) = sort_corpus(rows, tmp_path, held).batches(10)
    assert (batch.ids, batch.held.tolist()) == (["new id", "other"], [1, -1])


def test_surrogates_do_not_stop_a_corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"id": "a\\ud800", "text": "half \\ud800 of a letter"}\n')
    assert sorted_rows(path, tmp_path / "scratch")[1] == [("a?", "half ? of a letter")]
