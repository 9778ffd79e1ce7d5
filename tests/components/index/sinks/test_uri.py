"""A sink's URI names a database, or is refused with one sentence that repeats no password."""

import pytest

from components.index.sinks.sink import SinkError
from components.index.sinks.uri import open_sink


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        pytest.param("mysql://u:secret@h/d", r"\(mysql:…\) does not name a database", id="another-database"),
        pytest.param("passages", "does not name a database that ranklift supports; write postgresql://", id="a-word"),
        pytest.param("postgresql://h:port/d", "does not name a database", id="a-port-that-is-no-number"),
        pytest.param("postgresql://u:secret@h/d?ef_search=many", "must be a whole number from 1 to 1000", id="ef"),
        pytest.param("postgresql://u:secret@h/d?name=Select%20*", "at most 48 lower-case letters", id="name"),
        pytest.param("milvus+http://?name=a", "does not name a host", id="milvus-without-a-host"),
        pytest.param("postgresql://u:secret@127.0.0.1:9/d", "failed while it was connected to", id="nobody-there"),
        pytest.param("milvus+http://u:secret@127.0.0.1:9", "failed while it was connected to", id="no-milvus-there"),
        pytest.param(
            "milvus+http://h:19530?nmae=a", "unknown parameter 'nmae'; it takes name and ef", id="a-misspelling"
        ),
        pytest.param("opensearch+https://?name=a", "does not name a host", id="opensearch-without-a-host"),
        pytest.param("opensearch://u:secret@h/a", r"\(opensearch:…\) does not name a database", id="without-http"),
        pytest.param("opensearch+http://u:secret@h?alias=a", "unknown parameter 'alias'", id="another-parameter"),
        pytest.param("opensearch+http://u:secret@h?ca_file=a", "ca_file='a' .* begins with open", id="ca-without-tls"),
        pytest.param("opensearch+https://u:secret@h?ca_file=", "ca_file='' .* must be a file of certi", id="ca-empty"),
        pytest.param("milvus+https://u:secret@h?ca_file=a", "unknown parameter 'ca_file'", id="ca-of-milvus"),
        pytest.param("opensearch+http://u:secret@h?name=_a", "no name that begins with '_'", id="an-underscore-first"),
        pytest.param(
            "opensearch+http://u:secret@127.0.0.1:9?name=a",
            r"^a in OpenSearch at 127\.0\.0\.1:9 failed while it was connected to: .*Connection refused\.$",
            id="no-opensearch-there",
        ),
    ],
)
def test_open_sink_unusable_uri_is_one_sentence(uri, sentence):
    with pytest.raises(SinkError, match=sentence) as caught:
        open_sink(uri)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
