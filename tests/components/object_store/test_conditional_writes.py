"""A store that takes conditions and ignores them would lose updates: it is found out before it does."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import pytest

from components.errors import StoreError
from components.object_store.conditional_writes import check_conditional_writes
from components.registry.registry import Registry, open_registry
from tests.factories.decisions import make_decision
from tests.factories.model_versions import make_dataset, make_model


def etag_of(body):
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


class Forgetful(BaseHTTPRequestHandler):
    """As much of S3 as a registry needs, with every write done whatever its condition."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_PUT(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.objects[self.key] = body
        self.answer(200, ETag=etag_of(body))

    def do_GET(self):
        if not self.key:
            self.answer(200, self.listing())
        elif self.key in self.objects:
            body = self.objects[self.key]
            self.answer(200, body, ETag=etag_of(body))
        else:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_HEAD(self):
        self.do_GET()

    @property
    def key(self):
        return urlsplit(self.path).path.strip("/").partition("/")[2]

    def listing(self):
        prefix = parse_qs(urlsplit(self.path).query).get("prefix", [""])[0]
        found = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(body)}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key, body in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        return f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>ranklift</Name>{found}</ListBucketResult>'.encode()


@pytest.fixture
def forgetful(object_store):
    """The settings of a store that ignores conditions, and what lies in it."""
    handler = type("Handler", (Forgetful,), {"objects": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        yield object_store.model_copy(update={"endpoint": endpoint}), handler.objects
        server.shutdown()


def test_publish_on_a_store_that_ignores_conditions_is_refused_before_a_file_is_written(forgetful, tmp_path):
    settings, objects = forgetful
    with pytest.raises(StoreError, match=r"ignores If-None-Match .*would lose an update; use a store with conditional"):
        open_registry(settings).publish_dataset(make_dataset(tmp_path / "data"))
    assert list(objects) == ["datasets/V0/claim.json"]


def test_move_champion_on_a_store_that_ignores_conditions_is_refused(registry, forgetful, tmp_path):
    from components.registry.registry import Lineage

    settings, objects = forgetful
    lineage = Lineage(dataset_version="V0", base_model="tiny")
    registry.publish_model(make_model(tmp_path / "model"), make_decision(), lineage)
    objects.update({item.key: registry.store.get(item.key).content for item in registry.store.list()})
    with pytest.raises(StoreError, match="ignores If-None-Match"):
        open_registry(settings).move_champion("V0", None)
    assert "champion.json" not in objects


def test_check_conditional_writes_on_a_store_that_does_them_changes_nothing(registry):
    etag = registry.store.put("models/V0/claim.json", b"{}")
    check_conditional_writes(registry.store, "models/V0/claim.json", b"{}")
    assert registry.store.get("models/V0/claim.json").etag == etag


def test_registry_checks_once_for_all_versions_that_it_publishes(registry, tmp_path, monkeypatch):
    from components.object_store import conditional_writes as module

    checks = []
    monkeypatch.setattr(module, "check_conditional_writes", lambda *arguments: checks.append(arguments))
    ours = Registry(registry.store)
    for content in "ab":
        ours.publish_dataset(make_dataset(tmp_path / content, content))
    assert len(checks) == 1
