"""What is Milvus' own: limits of its keys and texts, and names that are somebody's."""

import pytest

from components.index.sinks.publish import publish
from components.index.sinks.sink import SinkError
from tests.components.index.sinks.conftest import Version


@pytest.fixture
def database(milvus_server):
    if milvus_server.process.poll() is not None:
        milvus_server.start()
    return milvus_server


def put(sink, version):
    return publish(sink, version.content, version.passages(), version.probes(), tell=lambda line: None)


def test_add_text_beyond_what_milvus_holds_is_cut_between_characters(sink):
    version = Version("V1", count=3)
    version.texts[1] = "é" * 40_000
    put(sink, version)
    rows = sink._client.query(sink._name, filter=f'id == "{version.ids[1]}"', output_fields=["text"])
    assert rows[0]["text"] == "é" * 32_767


def test_add_id_beyond_what_milvus_holds_is_refused(sink):
    version = Version("V1", count=3)
    version.ids[1] = "x" * 600
    with pytest.raises(SinkError, match="A passage id has 600 bytes where Milvus keys have 512 at most"):
        put(sink, version)
    assert sink.current() is None


def test_current_where_a_collection_of_somebody_has_the_name_is_refused(sink):
    sink._client.create_collection(sink._name, dimension=4)
    with pytest.raises(SinkError, match="is a collection, not an alias"):
        put(sink, Version("V1"))


def test_rows_of_large_texts_are_sent_in_requests_of_a_few_megabytes(sink):
    version = Version("V1", count=300)
    version.texts = ["x" * 60_000] * 300
    sizes = [len(rows) for rows in sink._rows(version.content, next(version.passages(at_once=300)))]
    assert sum(sizes) == 300
    assert max(sizes) * 60_000 < 5 << 20
