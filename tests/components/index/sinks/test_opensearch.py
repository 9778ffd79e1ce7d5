"""What is OpenSearch's own: blocks, names that are somebody's, a second process, and what readers get."""

import threading

import pytest

from components.index.sinks import opensearch_bulk
from components.index.sinks.publish import publish
from components.index.sinks.sink import SinkError, store_name
from components.index.sinks.uri import open_sink
from tests.components.index.sinks.conftest import Version

pytestmark = pytest.mark.opensearch


@pytest.fixture
def database(opensearch_server):
    if opensearch_server.process.poll() is not None:
        opensearch_server.start()
    return opensearch_server


@pytest.fixture
def admin(database):
    """What an administrator does, which ranklift's user need not be allowed to."""
    return database.admin


@pytest.fixture
def without_pauses(monkeypatch):
    monkeypatch.setattr(opensearch_bulk, "_PAUSES", (0.0, 0.0))


def put(sink, version):
    return publish(sink, version.content, version.passages(), version.probes(), tell=lambda line: None)


def settings(admin, sink, version, **blocks):
    index = store_name(sink._name, version.content.version)
    admin.indices.put_settings(index=index, body={"index": blocks})


def test_publish_leaves_one_alias_and_one_segment(admin, sink):
    put(sink, Version("V1"))
    index = store_name(sink._name, "V1")
    assert admin.indices.get_alias(index=index) == {index: {"aliases": {sink._name: {}}}}
    (shard,) = admin.indices.segments(index=index)["indices"][index]["shards"]["0"]
    assert len(shard["segments"]) == 1


def test_search_of_readers_finds_words_and_gives_the_versions_but_no_vector(sink):
    version = Version("V1", count=3, seed=7)
    version.texts[1] = "A walrus, \0 and \u2028 more"
    put(sink, version)
    answer = sink._client.search(index=sink._name, body={"query": {"match": {"text": "walrus"}}})
    assert [(hit["_id"], hit["_source"]) for hit in answer["hits"]["hits"]] == [
        (version.ids[1], {"text": version.texts[1], "index_version": "V1", "model_version": "V7"})
    ]


def test_search_of_opposite_vectors_gives_their_negative_similarity(sink):
    version = Version("V1", count=2)
    version.vectors[1] = -version.vectors[0]
    put(sink, version)
    ((first, second),) = sink.search(version.content, version.vectors[:1], 2)
    assert (first[0], second[0]) == (version.ids[0], version.ids[1])
    assert (first[1], second[1]) == (pytest.approx(1, abs=1e-5), pytest.approx(-1, abs=1e-5))


@pytest.mark.parametrize(
    ("name", "size"),
    [pytest.param("x" * 600, 600, id="too-long"), pytest.param("", 0, id="empty")],
)
def test_add_id_that_opensearch_does_not_hold_is_refused(sink, name, size):
    version = Version("V1", count=3)
    version.ids[1] = name
    with pytest.raises(SinkError, match=f"A passage id has {size} bytes where OpenSearch takes 1 to 512"):
        put(sink, version)
    assert sink.current() is None


def test_add_longest_id_is_stored(sink):
    version = Version("V1", count=3)
    version.ids[1] = "é" * 256
    assert put(sink, version).recall == 1.0


def test_current_where_an_index_of_somebody_has_the_name_is_refused(admin, sink):
    admin.indices.create(index=sink._name)
    with pytest.raises(SinkError, match="is an index, not an alias"):
        put(sink, Version("V1"))


def test_current_where_an_alias_of_somebody_has_the_name_is_refused(admin, sink):
    theirs = f"theirs_{sink._name}"
    admin.indices.create(index=theirs, body={"aliases": {sink._name: {}}})
    with pytest.raises(SinkError, match=rf"is an alias that ranklift did not make \(of {theirs}\)"):
        put(sink, Version("V1"))


def test_begin_where_an_index_of_somebody_has_the_name_of_the_version_keeps_it(admin, sink):
    theirs = store_name(sink._name, "V1")
    admin.index(index=theirs, body={"a": 1}, params={"refresh": "true"})
    with pytest.raises(SinkError, match=f"has {theirs}, which ranklift did not make"):
        put(sink, Version("V1"))
    assert admin.count(index=theirs)["count"] == 1


def test_publish_while_another_process_begins_the_version_anew_stops_and_adds_nothing(sink, uri):
    version = Version("V1")
    other = open_sink(uri)

    def passages():
        for number, block in enumerate(version.passages()):
            if number == 1:
                other.begin(version.content)
            yield block

    with pytest.raises(SinkError, match=r"another process fills this version as well.*Nothing was switched\.$"):
        publish(sink, version.content, passages(), version.probes(), tell=lambda line: None)
    assert other.count(version.content) == 0
    assert put(other, version).filled
    assert other.current() == "V1"
    other.close()


def test_finish_after_another_process_began_the_version_anew_does_not_make_it_whole(sink, uri):
    version = Version("V1")
    sink.begin(version.content)
    other = open_sink(uri)
    other.begin(version.content)
    with pytest.raises(SinkError, match="another process fills this version as well"):
        sink.finish(version.content)
    assert other.stored() == {}
    other.close()


def test_add_to_an_index_that_a_full_disk_blocked_says_what_to_free(admin, sink, without_pauses):
    put(sink, Version("V1", seed=1))
    second = Version("V2", seed=2)

    def passages():
        for number, block in enumerate(second.passages()):
            if number == 1:  # what OpenSearch does itself above the flood-stage watermark
                settings(admin, sink, second, **{"blocks.read_only_allow_delete": True})
            yield block

    with pytest.raises(
        SinkError, match=r"flood-stage watermark, .*block\]; free disk space on its nodes\. .*readers see V1\.$"
    ):
        publish(sink, second.content, passages(), second.probes(), tell=lambda line: None)
    assert sink.current() == "V1"
    put(sink, second)
    assert sink.current() == "V2"


def test_switch_to_a_blocked_index_changes_nothing(admin, sink, monkeypatch):
    put(sink, Version("V1", seed=1))
    second = Version("V2", seed=2)
    whole = sink.switch

    def blocked(content):
        settings(admin, sink, second, **{"blocks.read_only": True})
        whole(content)

    monkeypatch.setattr(sink, "switch", blocked)
    with pytest.raises(SinkError, match=r"index read-only \(api\)\]; lift the block\. .*readers see V1\.$"):
        put(sink, second)
    settings(admin, sink, second, **{"blocks.read_only": None})
    assert sink.current() == "V1"


def test_begin_where_no_index_may_be_made_says_what_to_free(admin, sink):
    block = {"persistent": {"cluster.blocks.create_index": True}}
    admin.cluster.put_settings(body=block)
    try:
        with pytest.raises(SinkError, match=r"create-index blocked \(api\)\]; free disk space on its nodes, or set"):
            put(sink, Version("V1"))
    finally:
        admin.cluster.put_settings(body={"persistent": {"cluster.blocks.create_index": None}})


@pytest.mark.slow  # OpenSearch waits 30 s for them itself
def test_begin_where_no_node_takes_the_shards_says_how_to_learn_why(admin, sink):
    index = store_name(sink._name, "V1")
    template = {
        "index_patterns": [index],
        "template": {"settings": {"index.routing.allocation.require.room": "none"}},
    }
    admin.indices.put_index_template(name=index, body=template)
    with pytest.raises(SinkError, match=f"has no node that takes the shards of {index}; `GET _cluster/allocation/ex"):
        put(sink, Version("V1"))
    assert not admin.indices.exists(index=index)
    admin.indices.delete_index_template(name=index)


def test_add_while_the_server_restarts_goes_on(sink, database, monkeypatch):
    monkeypatch.setattr(opensearch_bulk, "_PAUSES", (1.0,) * 120)
    version = Version("V1")
    starts = []

    def passages():
        for number, block in enumerate(version.passages()):
            if number == 1:
                database.kill()
                starts.append(threading.Thread(target=database.start))
                starts[0].start()
            yield block

    published = publish(sink, version.content, passages(), version.probes(), tell=lambda line: None)
    starts[0].join()
    assert published.recall == 1.0
    assert sink.count(version.content) == 300
