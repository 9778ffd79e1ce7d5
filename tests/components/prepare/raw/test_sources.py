"""Raw data that lies elsewhere."""

import hashlib
from datetime import UTC, datetime

import pytest

from components.errors import DataError, StoreError
from components.object_store.client import ObjectInfo, ObjectStore
from components.object_store.transfer import upload
from components.prepare.raw.sources import fetch
from components.prepare.stage import prepare
from tests.components.prepare.conftest import rows_of, write_rows


@pytest.fixture
def bucket(object_store, monkeypatch):
    """A running S3 server that the environment names, as on a cluster."""
    monkeypatch.setenv("RANKLIFT_S3_ENDPOINT", object_store.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", object_store.access_key.get_secret_value())
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", object_store.secret_key.get_secret_value())
    return ObjectStore(object_store)


def place(store, key, path):
    upload(store, key, path, hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_prefix_of_shards_in_an_object_store(tmp_path, options, bucket):
    rows = rows_of(60)
    place(bucket, "raw/clicks/a.csv", write_rows(tmp_path / "a.csv", rows[:30]))
    place(bucket, "raw/clicks/deep/b.jsonl.gz", write_rows(tmp_path / "b.jsonl.gz", rows[30:]))
    place(bucket, "raw/clicks-of-others/c.csv", write_rows(tmp_path / "c.csv", rows_of(5)))
    remote = prepare(f"s3://{bucket.settings.bucket}/raw/clicks", tmp_path / "V0", options())
    local = prepare(str(write_rows(tmp_path / "all.csv", rows)), tmp_path / "V1", options())

    assert remote.counts["raw"] == 60
    assert remote.digest == local.digest


def test_one_object(tmp_path, options, bucket):
    place(bucket, "one/file.parquet", write_rows(tmp_path / "file.parquet", rows_of(60)))
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


class TestHub:
    @pytest.fixture
    def clicks(self, hub, tmp_path):
        """A data set of the hub: two shards, a description, and another configuration beside them."""
        shards = {"data/train-0.parquet": rows_of(60)[:30], "data/train-1.parquet": rows_of(60)[30:]}
        for name, rows in shards.items():
            path = tmp_path / "made" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shards[name] = write_rows(path, rows).read_bytes()
        hub.files["datasets/acme/clicks"] = {**shards, "README.md": b"# Clicks", "other/a.csv": b"a,b\n1,2\n"}
        return hub

    def test_a_folder_of_a_data_set_is_read(self, tmp_path, options, clicks):
        remote = prepare("hf://datasets/acme/clicks/data", tmp_path / "V0", options())
        local = prepare(str(write_rows(tmp_path / "all.csv", rows_of(60))), tmp_path / "V1", options())

        assert remote.counts["raw"] == 60
        assert remote.digest == local.digest
        assert remote.source == "hf://datasets/acme/clicks/data"
        assert "Bearer hf_of_a_test" in clicks.tokens

    def test_one_file_and_a_revision_can_be_named(self, tmp_path, clicks):
        with fetch("hf://datasets/acme/clicks@refs%2Fconvert%2Fparquet/data/train-1.parquet", tmp_path) as raw:
            assert [path.name for path in raw.files] == ["train-1.parquet"]

    @pytest.mark.parametrize("uri", ["hf://datasets/acme/nowhere", "hf://datasets/acme/clicks/nowhere"])
    def test_what_is_not_there_is_one_sentence(self, tmp_path, clicks, uri):
        with pytest.raises(DataError, match=uri) as caught, fetch(uri, tmp_path):
            pass
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("status", [401, 403, 500, 503])
    def test_a_hub_that_refuses_is_one_sentence(self, tmp_path, clicks, status):
        clicks.refuse = status
        uri = "hf://datasets/acme/clicks"
        with (
            pytest.raises(DataError, match=r"could not be read from the hub \(.*HF_TOKEN") as caught,
            fetch(uri, tmp_path),
        ):
            pass
        assert "\n" not in str(caught.value)

    def test_a_hub_that_comes_back_is_asked_again(self, tmp_path, clicks, monkeypatch, capsys):
        monkeypatch.setenv("RANKLIFT_PATIENCE", "40")
        clicks.refuse = 503
        monkeypatch.setattr("components.model.hub.time.sleep", lambda _: setattr(clicks, "refuse", 0))
        with fetch("hf://datasets/acme/clicks/data", tmp_path) as raw:
            assert len(raw.files) == 2
        assert "Retrying in 5 s." in capsys.readouterr().err

    def test_a_hub_that_is_down_is_one_sentence(self, tmp_path, clicks, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
        with (
            pytest.raises(DataError, match=r"could not be read from the hub \(.*check the name, the network"),
            fetch("hf://datasets/acme/clicks", tmp_path),
        ):
            pass


class TestKeysOfAnObjectStore:
    @pytest.mark.parametrize("key", ["out/../../../escaped.csv", "out/..", "out/a\\b.csv", "out/./x.csv"])
    def test_a_key_cannot_lead_out_of_the_folder(self, tmp_path, bucket, monkeypatch, key):
        # A client normalises such a path before it asks; a listing can hold it all the same.
        listed = [ObjectInfo(key, 3, "", datetime.now(UTC))]
        monkeypatch.setattr(ObjectStore, "list", lambda self, prefix: listed)
        with (
            pytest.raises(DataError, match="has no plain path below 'out'"),
            fetch(f"s3://{bucket.settings.bucket}/out", tmp_path / "scratch"),
        ):
            pass
        assert list(tmp_path.rglob("*.csv")) == []

    def test_an_object_that_is_cut_off_on_its_way_is_an_error(self, tmp_path, bucket, monkeypatch):
        place(bucket, "cut/a.csv", write_rows(tmp_path / "a.csv", rows_of(30)))
        real = ObjectStore.list
        monkeypatch.setattr(
            ObjectStore, "list", lambda self, prefix: [item._replace(size=item.size + 1) for item in real(self, prefix)]
        )
        monkeypatch.setenv("RANKLIFT_S3_ATTEMPTS", "2")
        with (
            pytest.raises(StoreError, match=r"download cut/a\.csv: .* sent a damaged answer"),
            fetch(f"s3://{bucket.settings.bucket}/cut", tmp_path / "scratch"),
        ):
            pass

    def test_a_name_that_is_a_file_and_a_folder_is_one_sentence(self, tmp_path, bucket, monkeypatch):
        listed = [ObjectInfo(key, 0, "", datetime.now(UTC)) for key in ("both/a", "both/a/b.csv")]
        monkeypatch.setattr(ObjectStore, "list", lambda self, prefix: listed)
        with (
            pytest.raises(DataError, match=r"both/a/b\.csv cannot be kept .* has its name as a folder"),
            fetch(f"s3://{bucket.settings.bucket}/both", tmp_path / "scratch"),
        ):
            pass
