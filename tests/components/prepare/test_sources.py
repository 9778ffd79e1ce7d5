"""Raw data that lies elsewhere."""

import hashlib

import pytest

from components.errors import DataError, StoreError
from components.object_store import ObjectStore
from components.prepare.sources import fetch
from components.prepare.stage import prepare
from tests.components.prepare.conftest import rows_of, write_rows


@pytest.fixture
def bucket(object_store, monkeypatch):
    """A running S3 server that the environment names, as on a cluster."""
    monkeypatch.setenv("RANKLIFT_S3_ENDPOINT", object_store.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", object_store.access_key.get_secret_value())
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", object_store.secret_key.get_secret_value())
    return ObjectStore(object_store)


def upload(store, key, path):
    store.upload(key, path, hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_prefix_of_shards_in_an_object_store(tmp_path, options, bucket):
    rows = rows_of(60)
    upload(bucket, "raw/clicks/a.csv", write_rows(tmp_path / "a.csv", rows[:30]))
    upload(bucket, "raw/clicks/deep/b.jsonl.gz", write_rows(tmp_path / "b.jsonl.gz", rows[30:]))
    upload(bucket, "raw/clicks-of-others/c.csv", write_rows(tmp_path / "c.csv", rows_of(5)))
    remote = prepare(f"s3://{bucket.settings.bucket}/raw/clicks", tmp_path / "V0", options())
    local = prepare(str(write_rows(tmp_path / "all.csv", rows)), tmp_path / "V1", options())

    assert remote.counts["raw"] == 60
    assert remote.digest == local.digest


def test_one_object(tmp_path, options, bucket):
    upload(bucket, "one/file.parquet", write_rows(tmp_path / "file.parquet", rows_of(60)))
    manifest = prepare(f"s3://{bucket.settings.bucket}/one/file.parquet", tmp_path / "V0", options())
    assert manifest.counts["raw"] == 60
    assert manifest.source == f"s3://{bucket.settings.bucket}/one/file.parquet"


@pytest.mark.parametrize("key", ["nowhere", "one/fil"])
def test_an_object_that_is_not_there(tmp_path, bucket, key):
    with pytest.raises(DataError, match="There is no object at s3://"), fetch(f"s3://ranklift/{key}", tmp_path):
        pass


def test_a_bucket_that_is_not_there(tmp_path, bucket):
    with pytest.raises((DataError, StoreError), match="no-such-bucket"), fetch("s3://no-such-bucket/raw", tmp_path):
        pass


def test_no_store_configured(tmp_path, monkeypatch):
    monkeypatch.delenv("RANKLIFT_S3_ENDPOINT", raising=False)
    with pytest.raises(DataError, match="set RANKLIFT_S3_ENDPOINT"), fetch("s3://bucket/raw", tmp_path):
        pass


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [
        ("gs://bucket/raw", "unknown scheme 'gs'"),
        ("hf://models/a/b", "is not hf://datasets/OWNER/NAME"),
        ("hf://datasets/a", "is not hf://datasets/OWNER/NAME"),
        ("demo://other", "unknown scheme 'demo'"),
        ("/no/such/place", "There is no file or folder /no/such/place"),
    ],
)
def test_what_is_no_source_is_named(tmp_path, uri, complaint):
    with pytest.raises(DataError, match=complaint), fetch(uri, tmp_path):
        pass


def test_a_file_uri_is_a_path(tmp_path):
    write_rows(tmp_path / "raw.csv", rows_of(3))
    with fetch(f"file://{tmp_path}/raw.csv", tmp_path) as raw:
        assert raw.files == [tmp_path / "raw.csv"]
