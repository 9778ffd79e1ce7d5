"""Base models in an object store, against a real S3 server."""

import shutil

import pytest

from components.base_model import base_model_directory, open_model
from components.errors import ModelError
from components.object_store import ObjectStore


@pytest.fixture
def stored(object_store, tiny_model, tmp_path, monkeypatch):
    """(URI, store, prefix) of a tiny model in the object store, which the environment names."""
    for name, value in object_store.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RANKLIFT_CACHE", str(tmp_path / "cache"))
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
    (first / "mark").touch()
    assert base_model_directory(uri + ending) == first
    assert (first / "mark").exists()


def test_base_model_directory_of_a_changed_s3_folder_is_copied_again(stored):
    uri, store, prefix = stored
    first = base_model_directory(uri)
    store.put(f"{prefix}/README.md", b"another one")
    second = base_model_directory(uri)
    assert second != first
    assert (second / "README.md").read_bytes() == b"another one"


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
    with pytest.raises(ModelError, match=words):
        base_model_directory(uri + change)


def test_base_model_directory_of_an_s3_uri_without_a_store_says_what_to_set(stored, monkeypatch):
    uri, _, _ = stored
    monkeypatch.delenv("RANKLIFT_S3_ENDPOINT")
    with pytest.raises(ModelError, match="set RANKLIFT_S3_ENDPOINT"):
        base_model_directory(uri)


def test_base_model_directory_where_nothing_can_be_kept_names_the_cache(stored, tmp_path, monkeypatch):
    uri, _, _ = stored
    (tmp_path / "file").touch()
    monkeypatch.setenv("RANKLIFT_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match=r"cannot be kept in .*file/base-models .*set RANKLIFT_CACHE"):
        base_model_directory(uri)


def test_base_model_directory_of_an_s3_uri_needs_no_cache_folder_to_be_set(stored, tmp_path, monkeypatch):
    uri, _, _ = stored
    monkeypatch.delenv("RANKLIFT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    directory = base_model_directory(uri)
    assert directory.is_relative_to(tmp_path / "xdg")
    shutil.rmtree(tmp_path / "xdg")
