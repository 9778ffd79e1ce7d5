"""OpenSearch with a login and TLS: ranklift's user may do what is documented, and each permission of it is needed."""

import pytest

from components.index.sinks.publish import publish
from components.index.sinks.sink import SinkError
from components.index.sinks.uri import open_sink
from tests.components.index.sinks.conftest import Version
from tests.standins.opensearch import documented_role

pytestmark = [pytest.mark.opensearch, pytest.mark.opensearch_login]

# A fresh server lets every user bundle requests, by its role own_index: there nothing is refused without these.
BUNDLED = {"indices:data/write/bulk", "indices:data/read/msearch"}
NEEDED = [
    permission
    for role in [documented_role("passages")]
    for permission in [*role["cluster_permissions"], *role["index_permissions"][0]["allowed_actions"]]
    if permission not in BUNDLED
]


@pytest.fixture
def database(opensearch_server):
    if not opensearch_server.has_login:
        pytest.fail("OPENSEARCH_URL must name an administrator, such as https://admin@localhost:9200.")
    if opensearch_server.process.poll() is not None:
        opensearch_server.start()
    return opensearch_server


def put(sink, version):
    return publish(sink, version.content, version.passages(), version.probes(), tell=lambda line: None)


def put_anew(uri, version):
    """Publish with a new connection, where an interrupted one may have left half of the version."""
    sink = open_sink(uri)
    try:
        put(sink, version)
    finally:
        sink.close()


@pytest.mark.parametrize("permission", NEEDED)
def test_publish_without_a_permission_names_it_and_switches_nothing(database, uri, sink, permission):
    put(sink, Version("V1", seed=1))
    second = Version("V2", seed=2)
    sink.begin(second.content)
    database.admit(sink._name, without=permission)
    with pytest.raises(SinkError) as caught:
        put_anew(uri, second)
    sentence = str(caught.value)
    assert f"no permissions for [{permission.rstrip('*')}" in sentence or f", {permission}]" in sentence
    assert "; give the user a role with this permission." in sentence
    assert database.password not in sentence
    database.admit(sink._name)
    assert sink.current() == "V1"
    assert put(sink, second).before == "V1"


def test_publish_to_a_name_that_the_role_does_not_allow_is_refused(database, uri, sink):
    with pytest.raises(SinkError, match=r"no permissions for \[indices:admin/mappings/get\].*; give the user a role"):
        put_anew(f"{uri}_of_others", Version("V1"))
    assert not database.admin.indices.exists(index=f"{sink._name}_of_others_v1")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param("wrong", "it refused the user 'ranklift_tests' or the password; correct the URI or", id="wrong"),
        pytest.param("", "it asks for the password of 'ranklift_tests'; set RANKLIFT_OPENSEARCH_PASS", id="missing"),
    ],
)
def test_open_sink_password_that_is_not_the_users_is_refused(database, uri, change, sentence):
    with pytest.raises(SinkError, match=sentence) as caught:
        open_sink(uri.replace(database.password, change))
    assert "wrong" not in str(caught.value)


def test_open_sink_password_of_the_environment_wins_over_that_of_the_uri(database, uri, monkeypatch):
    monkeypatch.setenv("RANKLIFT_OPENSEARCH_PASSWORD", database.password)
    open_sink(uri.replace(database.password, "another")).close()


def test_publish_after_the_password_was_changed_switches_nothing(database, uri, sink):
    put(sink, Version("V1", seed=1))
    second, formers = Version("V2", seed=2), []

    def passages():
        for number, block in enumerate(second.passages()):
            if number == 1:
                formers.append(database.change_password())
            yield block

    with pytest.raises(SinkError, match=r"it refused the user 'ranklift_tests' or the password.*readers see V1\.$"):
        publish(sink, second.content, passages(), second.probes(), tell=lambda line: None)
    again = open_sink(uri.replace(formers[0], database.password))
    assert again.current() == "V1"
    again.close()
