"""The object store client: conditional writes, files verified both ways, TLS, both URL styles, settings and secrets."""

import datetime
import hashlib
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import StoreError
from components.object_store.client import ObjectStore, ObjectStoreSettings
from components.object_store.faults import pauses
from components.object_store.transfer import download, parts_of, upload
from tests.factories.authority import make_authority
from tests.faults.proxy import Proxy


@pytest.fixture
def store(registry):
    return registry.store


class TestObjects:
    def test_what_is_written_is_read(self, store):
        etag = store.put("a/b.json", b"one")
        assert store.get("a/b.json") == (b"one", etag)
        assert store.stat("a/b.json")[:3] == ("a/b.json", 3, etag)
        assert [item.key for item in store.list("a/")] == ["a/b.json"]
        store.delete("a/b.json")
        store.delete("a/b.json")
        assert (store.find("a/b.json"), store.stat("a/b.json"), store.list()) == (None, None, [])

    def test_what_is_not_there_is_one_sentence(self, store):
        with pytest.raises(StoreError, match="There is no object nothing in bucket"):
            store.get("nothing")

    def test_an_empty_object_is_an_object(self, store):
        store.put("empty", b"")
        assert store.get("empty").content == b""

    def test_a_listing_has_no_end_at_a_thousand(self, store):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: store.put(f"many/{number:04}", b"x"), range(1005)))
        assert len(store.list("many/")) == 1005

    @pytest.mark.parametrize("key", ["a b/ü+&=?.json", "x/~-_.json", "models/V0/1_Pooling/config.json", "100%/a.json"])
    def test_keys_survive_the_url(self, store, key):
        assert store.put_if_absent(key, b"1") is not None
        assert store.put_if_absent(key, b"2") is None
        assert [item.key for item in store.list()] == [key]

    def test_a_bucket_that_is_there_is_not_made_again(self, store):
        store.ensure_bucket()
        store.ensure_bucket()

    def test_a_bucket_that_does_not_exist_is_one_sentence(self, store):
        other = ObjectStore(store.settings.model_copy(update={"bucket": "does-not-exist"}))
        with pytest.raises(StoreError, match=r"bucket does-not-exist.* NoSuchBucket; create the bucket"):
            other.find("x")


class TestConditionalWrites:
    def test_only_one_of_many_writers_makes_an_object(self, store):
        for turn in range(5):
            with ThreadPoolExecutor(16) as pool:
                tags = list(
                    pool.map(lambda writer: store.put_if_absent(f"one-{turn}", b"%d" % writer), range(16))  # noqa: B023
                )
            winners = [writer for writer, tag in enumerate(tags) if tag is not None]
            assert len(winners) == 1
            assert store.get(f"one-{turn}").content == b"%d" % winners[0]

    def test_only_one_of_many_writers_replaces_an_object(self, store):
        etag = store.put("pointer", b"start")
        with ThreadPoolExecutor(16) as pool:
            tags = list(pool.map(lambda writer: store.put_if_match("pointer", b"%d" % writer, etag), range(16)))
        winners = [writer for writer, tag in enumerate(tags) if tag is not None]
        assert len(winners) == 1
        assert store.get("pointer") == (b"%d" % winners[0], tags[winners[0]])

    def test_what_is_not_there_cannot_be_replaced(self, store):
        assert store.put_if_match("nothing", b"x", "0" * 32) is None
        assert store.find("nothing") is None

    def test_the_same_bytes_count_as_ours(self, store):
        # The answer to the first attempt may have been lost.
        assert store.put_if_absent("claim", b"mine") == store.put_if_absent("claim", b"mine") is not None


class TestFiles:
    @pytest.mark.parametrize("size", [0, 1, (16 << 20) - 1, 16 << 20, (16 << 20) + 1, 40 << 20])
    def test_a_file_comes_back_as_it_was(self, store, tmp_path, size):
        content = (hashlib.sha256(b"seed").digest() * (size // 32 + 1))[:size]
        (tmp_path / "file").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        upload(store, "file", tmp_path / "file", digest)
        download(store, "file", tmp_path / "copy", digest, size)
        assert (tmp_path / "copy").read_bytes() == content
        assert {path.name for path in tmp_path.iterdir()} == {"file", "copy"}

    def test_a_file_that_changed_since_it_was_hashed_is_not_uploaded(self, store, tmp_path):
        (tmp_path / "file").write_bytes(b"changed")
        with pytest.raises(StoreError, match="file is damaged"):
            upload(store, "file", tmp_path / "file", "0" * 64)
        assert store.find("file") is None

    def test_what_an_earlier_run_left_of_another_object_is_not_used(self, store, tmp_path):
        store.put("file", b"right")
        (tmp_path / "copy.part").write_bytes(b"wrong")
        (tmp_path / "copy.journal").write_text("1\n")
        download(store, "file", tmp_path / "copy", hashlib.sha256(b"right").hexdigest(), 5)
        assert (tmp_path / "copy").read_bytes() == b"right"

    @given(st.integers(0, 1 << 44))
    def test_parts_cover_a_file_once(self, size):
        parts = parts_of(size)
        assert len(parts) <= 10_000
        assert sum(part.length for part in parts) == size
        ends = [part.offset + part.length for part in parts]
        assert [part.offset for part in parts] == [0, *ends[:-1]][: len(parts)]


def test_pauses_are_bounded_and_differ():
    assert all(len(list(pauses(attempts))) == attempts - 1 for attempts in range(1, 8))
    assert all(0.05 <= pause <= 5 for _ in range(50) for pause in pauses(12))
    assert len({tuple(pauses(5)) for _ in range(10)}) == 10


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A private authority's certificate, and a server's certificate and key signed by it."""
    return make_authority(tmp_path_factory.mktemp("authority"))


class TestTls:
    @pytest.fixture
    def tls_endpoint(self, store, authority):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority / "server.pem")
        with Proxy(store.settings.endpoint, tls=context) as proxy:
            yield proxy.endpoint

    def test_a_private_authority_is_trusted_when_it_is_named(self, store, authority, tls_endpoint):
        settings = store.settings.model_copy(update={"endpoint": tls_endpoint, "ca_file": authority / "ca.pem"})
        over_tls = ObjectStore(settings)
        assert over_tls.put_if_absent("key", b"1") is not None
        assert over_tls.get("key").content == b"1"
        assert [item.key for item in over_tls.list()] == ["key"]

    def test_a_private_authority_is_not_trusted_otherwise(self, store, tls_endpoint):
        untrusting = ObjectStore(store.settings.model_copy(update={"endpoint": tls_endpoint, "ca_file": None}))
        for call in (lambda: untrusting.find("key"), lambda: untrusting.put("key", b"1")):
            with pytest.raises(StoreError, match=r"certificate that is not trusted .* RANKLIFT_S3_CA_FILE"):
                call()


def test_a_bucket_may_be_named_in_the_host(store, monkeypatch):
    resolve = socket.getaddrinfo

    def resolve_localhost(host, *arguments, **options):
        # Not every machine resolves the names below localhost.
        return resolve("127.0.0.1" if str(host).endswith(".localhost") else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_localhost)
    endpoint = store.settings.endpoint.replace("127.0.0.1", "localhost")
    virtual = ObjectStore(store.settings.model_copy(update={"endpoint": endpoint, "virtual_host": True}))
    virtual.ensure_bucket()
    assert virtual.put_if_absent("folder/key", b"1") is not None
    assert virtual.put_if_absent("folder/key", b"2") is None
    assert store.get("folder/key").content == virtual.get("folder/key").content == b"1"
    virtual.request("POST", "folder/large", query={"uploads": ""})
    assert virtual.stat("folder/key").size == 1


def test_a_session_token_is_sent_and_signed(store):
    with Proxy(store.settings.endpoint) as proxy:
        heads = []
        proxy.tell = heads.append
        settings = store.settings.model_dump() | {"endpoint": proxy.endpoint, "session_token": "temporary"}
        temporary = ObjectStore(ObjectStoreSettings(**settings))
        for call in (lambda: temporary.find("x"), lambda: temporary.put("x", b"1")):
            with pytest.raises(StoreError, match="InvalidAccessKeyId"):  # this store never handed out a token
                call()
    assert len(heads) == 2
    for head in heads:
        assert b"x-amz-security-token: temporary" in head.lower()
        assert b"x-amz-security-token" in head.lower().split(b"signedheaders=")[1].split(b",")[0]


@pytest.mark.parametrize("hours", [-2, 2], ids=["slow clock", "fast clock"])
def test_a_clock_that_is_wrong_is_one_sentence(store, monkeypatch, hours):
    class WrongClock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) + datetime.timedelta(hours=hours)

    monkeypatch.setattr("components.object_store.signed_requests.datetime", WrongClock)
    with pytest.raises(StoreError, match=r"RequestTimeTooSkewed; this machine's clock is more than 15 minutes off"):
        store.put("x", b"1")
