"""A fingerprint is another one when the data is, and the same one otherwise."""

import os

import pytest

from components.errors import DataError
from components.object_store.client import ObjectStore
from components.source.fingerprint import fingerprint


@pytest.fixture
def bucket(object_store, monkeypatch):
    for name, value in object_store.environment().items():
        monkeypatch.setenv(name, value)
    store = ObjectStore(object_store.model_copy(update={"bucket": "fingerprints"}))
    store.ensure_bucket()
    store.put("raw/clicks.csv", b"query,positive,negative\n")
    store.put("raw/clicks.csv.old", b"before")
    return store


class TestObjects:
    @pytest.mark.parametrize("uri", ["s3://fingerprints/raw/clicks.csv", "s3://fingerprints/raw"], ids=["one", "all"])
    def test_fingerprint_of_the_same_objects_is_the_same_and_of_new_content_another(self, bucket, uri):
        first = fingerprint(uri)
        assert fingerprint(uri) == first
        bucket.put("raw/clicks.csv", b"query,positive,negativE\n")
        assert fingerprint(uri) != first

    def test_fingerprint_of_an_object_ignores_others_that_begin_like_it(self, bucket):
        first = fingerprint("s3://fingerprints/raw/clicks.csv")
        bucket.put("raw/clicks.csv.old", b"other")
        assert fingerprint("s3://fingerprints/raw/clicks.csv") == first

    def test_fingerprint_of_a_folder_sees_an_object_that_is_added(self, bucket):
        first = fingerprint("s3://fingerprints/raw/")
        bucket.put("raw/more.csv", b"query,positive,negative\n")
        assert fingerprint("s3://fingerprints/raw/") != first

    def test_fingerprint_of_nothing_is_one_sentence(self, bucket):
        with pytest.raises(DataError, match="There is no object at s3://fingerprints/nowhere"):
            fingerprint("s3://fingerprints/nowhere")


def test_fingerprint_of_a_file_follows_its_size_and_time(tmp_path):
    file = tmp_path / "clicks.csv"
    file.write_text("one")
    first = fingerprint(str(file))
    assert fingerprint(f"{file}") == first
    os.utime(file, ns=(1, 1))
    assert fingerprint(str(file)) != first
    assert fingerprint(str(tmp_path)) != fingerprint(str(file))


def test_fingerprint_of_the_evaluation_data_counts_as_well(tmp_path):
    file = tmp_path / "qrels.tsv"
    file.write_text("one")
    first = fingerprint("demo://docstrings", str(tmp_path))
    file.write_text("other")
    assert fingerprint("demo://docstrings", str(tmp_path)) != first
    assert fingerprint("demo://docstrings", "") == fingerprint("demo://docstrings", "")


def test_fingerprint_of_a_data_set_on_the_hub_is_its_commit(hub):
    hub.files["datasets/acme/clicks"] = {"data.csv": b"x"}
    assert fingerprint("hf://datasets/acme/clicks/data") == fingerprint("hf://datasets/acme/clicks/data")
    with pytest.raises(DataError, match="could not be read from the hub"):
        fingerprint("hf://datasets/acme/nothing")
