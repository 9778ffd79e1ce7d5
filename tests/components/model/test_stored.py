"""Base models in an object store, against a real S3 server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import DataError, RankliftError
from components.model.base import base_model_directory, open_model
from components.model.stored import stored_model
from components.object_store.client import ObjectStore
from components.object_store.folder import StoreFolder


@pytest.fixture
def stored(object_store, tiny_model, tmp_path, monkeypatch):
    """(URI, store, prefix) of a tiny model in the object store, which the environment names."""
    for name, value in object_store.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RANKLIFT_CACHE", str(tmp_path / "cache"))
    stored_model.cache_clear()
    store, prefix = ObjectStore(object_store), f"base/{tmp_path.name}"
    for path in tiny_model.rglob("*"):
        if path.is_file():
            store.put(f"{prefix}/{path.relative_to(tiny_model).as_posix()}", path.read_bytes())
    return f"s3://{object_store.bucket}/{prefix}", store, prefix


def test_base_model_directory_of_an_s3_uri_opens_as_the_model_that_was_uploaded(stored, tiny_model):
    import numpy as np

    uri, _, _ = stored
    texts = ["sort the array", "find a path"]
    fetched, own = open_model(base_model_directory(uri)), open_model(tiny_model)
    np.testing.assert_array_equal(fetched.encode(texts), own.encode(texts))


@pytest.mark.parametrize("ending", ["", "/"], ids=["plain", "trailing slash"])
def test_base_model_directory_of_an_s3_uri_is_copied_once(stored, ending):
    uri, _, _ = stored
    first = base_model_directory(uri + ending)
    stored_model.cache_clear()
    (first / "mark").touch()
    assert base_model_directory(uri + ending) == first
    assert (first / "mark").exists()


def test_base_model_directory_of_a_changed_s3_folder_is_copied_again(stored):
    uri, store, prefix = stored
    first = base_model_directory(uri)
    store.put(f"{prefix}/README.md", b"another one")
    stored_model.cache_clear()
    second = base_model_directory(uri)
    assert second != first
    assert (second / "README.md").read_bytes() == b"another one"


def test_base_model_directory_that_another_process_copied_meanwhile_is_that_copy(stored, monkeypatch):
    uri, _, _ = stored
    download = StoreFolder.download

    def second(self, target):
        monkeypatch.setattr(StoreFolder, "download", download)
        (stored_model.__wrapped__(uri) / "mark").touch()
        return download(self, target)

    monkeypatch.setattr(StoreFolder, "download", second)
    assert (base_model_directory(uri) / "mark").exists()


def test_base_model_directory_of_an_s3_folder_that_holds_only_its_own_mark_says_what_is_wrong(stored):
    uri, store, prefix = stored
    store.put(f"{prefix}/empty/", b"")
    with pytest.raises(DataError, match="There is no object at s3://"):
        base_model_directory(f"{uri}/empty")


def test_base_model_directory_takes_no_folder_whose_name_only_begins_alike(stored):
    uri, store, prefix = stored
    store.put(f"{prefix}-other/stray.txt", b"not of this model")
    assert not list(base_model_directory(uri).rglob("stray.txt"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param("-nothing", "There is no object at s3://", id="nothing there"),
        pytest.param("/1_Pooling", "has no modules.json", id="no model"),
    ],
)
def test_base_model_directory_of_a_wrong_s3_uri_says_what_is_wrong(stored, change, words):
    uri, _, _ = stored
    with pytest.raises(RankliftError, match=words):
        base_model_directory(uri + change)


def test_base_model_directory_of_an_s3_uri_without_a_store_says_what_to_set(stored, monkeypatch):
    uri, _, _ = stored
    monkeypatch.delenv("RANKLIFT_S3_ENDPOINT")
    with pytest.raises(DataError, match="set RANKLIFT_S3_ENDPOINT"):
        base_model_directory(uri)


def test_base_model_directory_of_an_s3_uri_without_a_cache_is_gone_with_the_process(stored, tmp_path):
    uri, _, _ = stored
    script = f"from components.model.base import base_model_directory; print(base_model_directory({uri!r}))"
    environment = {name: value for name, value in os.environ.items() if name != "RANKLIFT_CACHE"}
    said = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert Path(said.stdout.strip()).name == "model"
    assert not Path(said.stdout.strip()).exists()
