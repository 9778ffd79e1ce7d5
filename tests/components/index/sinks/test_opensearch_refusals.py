"""What a server answers that is no usable OpenSearch, as one sentence; answers are those of real servers."""

from contextlib import ExitStack

import pytest

from components.index.sinks.sink import SinkError
from components.index.sinks.uri import open_sink
from tests.components.index.sinks.conftest import Version
from tests.standins.json_server import JsonHandler, JsonServer

OPENSEARCH = {"version": {"distribution": "opensearch", "number": "2.19.1"}}


def failure(kind, reason):
    cause = {"type": kind, "reason": reason}
    return {"error": {"root_cause": [cause], **cause}}


@pytest.fixture
def answering():
    """Start a server that answers each method with a status and a body, and return its URI as a sink's."""
    with ExitStack() as started:

        def start(answers):
            class Handler(JsonHandler):
                def answer(self, body):
                    status, said = answers[self.command]
                    answers["login"] = self.headers["Authorization"]
                    self.send(status, said, "text/plain" if isinstance(said, str) else "application/json")

            url = started.enter_context(JsonServer(Handler).running())
            return f"opensearch+{url.replace('//', '//ada:secret@')}?name=a"

        yield start


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        pytest.param(401, "Unauthorized", "it refused the user 'ada' or the password; correct the URI", id="password"),
        pytest.param(502, "<html>Bad Gateway</html>", r"connected to: it answered 502\.$", id="a-proxy-alone"),
        pytest.param(
            503, "OpenSearch Security not initialized.", r"it answered 503: .* not initialized\.$", id="starting"
        ),
        pytest.param(
            400,
            "Client sent an HTTP request to an HTTPS server.\n",
            r"it does not answer over HTTP; where it speaks TLS, write opensearch\+https:// into the sink's URI\.$",
            id="a-proxy-with-tls",
        ),
        pytest.param(
            400,
            "<html>\n<center>The plain HTTP request was sent to HTTPS port</center>\n</html>",
            "where it speaks TLS, write",
            id="another-proxy-with-tls",
        ),
        pytest.param(
            403,
            failure("security_exception", "no permissions for [cluster:monitor/main] and User [name=ada]"),
            r"no permissions for \[cluster:monitor/main\] and User \[name=ada\]; give the user a role",
            id="permission",
        ),
        pytest.param(
            200, {"version": {"number": "8.15.0"}}, "is another server 8.15.0; OpenSearch 2.16 or", id="elasticsearch"
        ),
        pytest.param(
            200, {"version": {"distribution": "opensearch", "number": "2.9.0"}}, "is opensearch 2.9.0; Open", id="old"
        ),
        pytest.param(200, ["hello"], "is another server; OpenSearch 2.16 or later is needed", id="something-else"),
        pytest.param(200, "hello", "is another server; OpenSearch 2.16 or later is needed", id="no-json"),
    ],
)
def test_open_sink_server_that_cannot_be_used_is_one_sentence(answering, status, body, sentence):
    with pytest.raises(SinkError, match=sentence) as caught:
        open_sink(answering({"GET": (status, body)}))
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        pytest.param("illegal_argument_exception", "unknown setting [index.knn] please check", id="setting"),
        pytest.param("mapper_parsing_exception", "No handler for type [knn_vector] declared on f", id="field"),
    ],
)
def test_begin_without_the_knn_plugin_says_who_installs_it(answering, kind, reason):
    answers = {"GET": (200, OPENSEARCH)}
    sink = open_sink(answering(answers))
    answers["GET"] = (404, failure("index_not_found_exception", "no such index [a_v1]"))
    answers["PUT"] = (400, failure(kind, reason))
    with pytest.raises(SinkError, match=r"\[.*\].*; an administrator installs the k-NN plugin, opensearch-knn"):
        sink.begin(Version("V1").content)
    sink.close()


@pytest.mark.parametrize(
    ("password", "login"),
    [
        pytest.param("p@ss/word", "Basic YWRhOnBAc3Mvd29yZA==", id="signs-of-a-uri"),
        pytest.param("pä€", "Basic YWRhOnDDpOKCrA==", id="beyond-latin-1"),
        pytest.param("", "Basic YWRhOnNlY3JldA==", id="of-the-uri"),
    ],
)
def test_open_sink_password_of_the_environment_is_sent(answering, monkeypatch, password, login):
    monkeypatch.setenv("RANKLIFT_OPENSEARCH_PASSWORD", password)
    answers = {"GET": (200, OPENSEARCH)}
    sink = open_sink(answering(answers))
    assert answers["login"] == login
    assert sink.place.startswith("a in OpenSearch at 127.0.0.1:")
    sink.close()
