"""A certificate that is not trusted, the wrong protocol, a missing login: each is one sentence, over real TLS."""

import contextlib
import ssl

import pytest
from opensearchpy import SSLError

from components.index.sinks.opensearch_access import Access
from components.index.sinks.sink import SinkError
from components.index.sinks.uri import open_sink
from tests.factories.authority import make_authority
from tests.standins.json_server import JsonHandler, JsonServer

INFO = {"version": {"distribution": "opensearch", "number": "2.19.1"}}


class Handler(JsonHandler):
    """Lets ada in with her password, as OpenSearch does."""

    def answer(self, body):
        if self.headers["Authorization"] == "Basic YWRhOnNlY3JldA==":  # ada:secret
            self.send(200, INFO)
        else:
            self.send(401, "Unauthorized", "text/plain")


class Server(JsonServer):
    def handle_error(self, request, client_address):
        """Print nothing when a client ends the handshake, as most of these tests have it do."""


@contextlib.contextmanager
def answering(certificate=None):
    """A server, over TLS where it has a certificate."""
    server = Server(Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with server.running():
        yield server.server_port


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """An environment that names neither a password nor a certificate."""
    for name in ("RANKLIFT_OPENSEARCH_PASSWORD", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def refusal(uri):
    """The sentence that the sink of a URI is refused with."""
    with pytest.raises(SinkError) as caught:
        open_sink(uri)
    sentence = str(caught.value)
    assert "secret" not in sentence
    assert "\n" not in sentence
    return sentence


def test_access_shown_for_debugging_has_no_password():
    assert "secret" not in repr(Access("https://127.0.0.1", "ada", "secret"))


def test_open_sink_private_authority_of_the_uri_is_trusted(authority):
    with answering(authority / "server.pem") as port:
        sink = open_sink(f"opensearch+https://ada:secret@127.0.0.1:{port}?name=a&ca_file={authority / 'ca.pem'}")
        assert sink.place == f"a in OpenSearch at 127.0.0.1:{port}"
        sink.close()


def test_open_sink_private_authority_of_the_environment_is_trusted(authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    with answering(authority / "server.pem") as port:
        open_sink(f"opensearch+https://ada:secret@127.0.0.1:{port}?name=a").close()


def test_open_sink_private_authority_of_the_uri_wins_over_the_environment(authority, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(make_authority(tmp_path) / "ca.pem"))
    with answering(authority / "server.pem") as port:
        open_sink(f"opensearch+https://ada:secret@127.0.0.1:{port}?name=a&ca_file={authority / 'ca.pem'}").close()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        pytest.param("SSL_CERT_FILE", "ca.pem", id="file"),
        pytest.param("SSL_CERT_DIR", ".", id="folder"),
        pytest.param("SSL_CERT_FILE", ".", id="folder-in-place-of-a-file"),
        pytest.param("UNRELATED", "", id="certifi"),
    ],
)
def test_open_sink_unknown_authority_says_what_is_trusted_and_how_to_name_it(
    authority, tmp_path, monkeypatch, variable, value
):
    monkeypatch.setenv(variable, str(make_authority(tmp_path) / value))
    with answering(authority / "server.pem") as port:
        sentence = refusal(f"opensearch+https://ada:secret@127.0.0.1:{port}?name=a")
    assert sentence.startswith(
        f"a in OpenSearch at 127.0.0.1:{port} failed while it was connected to: no authority in "
    )
    assert f"no authority in {tmp_path}" in sentence or variable == "UNRELATED"
    assert sentence.endswith("name the file of the authority that signed it with &ca_file=… in the sink's URI.")


def test_open_sink_certificate_of_another_host_says_so(tmp_path):
    folder = make_authority(tmp_path, "search.example.org")
    with answering(folder / "server.pem") as port:
        sentence = refusal(f"opensearch+https://ada:secret@127.0.0.1:{port}?name=a&ca_file={folder / 'ca.pem'}")
    assert "mismatch, certificate is not valid for '127.0.0.1'; write a host into the sink's URI" in sentence


def test_open_sink_expired_certificate_says_who_renews_it(tmp_path):
    folder = make_authority(tmp_path, days=-1)
    with answering(folder / "server.pem") as port:
        sentence = refusal(f"opensearch+https://ada:secret@127.0.0.1:{port}?name=a&ca_file={folder / 'ca.pem'}")
    assert "its certificate has expired, or this machine's clock is wrong; an administrator renews it." in sentence


@pytest.mark.parametrize(
    "said",
    [
        pytest.param("[SSL: SSLV3_ALERT_BAD_CERTIFICATE] sslv3 alert bad certificate (_ssl.c:1006)", id="opensearch"),
        pytest.param("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert cert (_ssl.c:2580)", id="a-proxy"),
    ],
)
def test_access_why_of_a_server_that_asks_for_a_certificate_says_so(said):
    error = SSLError("N/A", said, ssl.SSLError(said))
    assert Access("https://127.0.0.1").why(error).startswith("it asks for a client's certificate, which ranklift does")


def test_open_sink_https_to_a_server_without_tls_says_what_to_write(authority):
    with answering() as port:
        sentence = refusal(f"opensearch+https://ada:secret@127.0.0.1:{port}?name=a&ca_file={authority / 'ca.pem'}")
    assert sentence.endswith("it speaks no TLS there; write opensearch+http:// into the sink's URI, or another port.")


def test_open_sink_http_to_a_server_with_tls_says_what_to_write(authority):
    with answering(authority / "server.pem") as port:
        sentence = refusal(f"opensearch+http://ada:secret@127.0.0.1:{port}?name=a")
    assert sentence.endswith("where it speaks TLS, write opensearch+https:// into the sink's URI.")


@pytest.mark.parametrize(
    ("variable", "content", "why"),
    [
        pytest.param("", None, "No such file or directory", id="absent"),
        pytest.param("", b"no certificate", "no certificate or crl found", id="something-else"),
        pytest.param("SSL_CERT_FILE", None, "No such file or directory", id="absent-in-the-environment"),
    ],
)
def test_open_sink_file_without_certificates_is_named_before_anything_is_sent(
    tmp_path, monkeypatch, variable, content, why
):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    if variable:
        monkeypatch.setenv(variable, str(file))
    sentence = refusal("opensearch+https://ada:secret@127.0.0.1:9?name=a" + ("" if variable else f"&ca_file={file}"))
    source = variable or "ca_file in the sink's URI"
    assert sentence.startswith(f"{source} names {file}, of which no certificate can be read ({why}); name the PEM file")


@pytest.mark.parametrize(
    ("login", "sentence"),
    [
        pytest.param(
            "", "it asks for a user; write the user into the URI, and set RANKLIFT_OPENSEARCH_P", id="no-user"
        ),
        pytest.param("ada@", "it asks for the password of 'ada'; set RANKLIFT_OPENSEARCH_PASSWORD.", id="no-password"),
        pytest.param("ada:secret2@", "it refused the user 'ada' or the password; correct the URI or RAN", id="wrong"),
    ],
)
def test_open_sink_login_that_is_refused_says_what_is_missing(authority, login, sentence):
    with answering(authority / "server.pem") as port:
        assert sentence in refusal(f"opensearch+https://{login}127.0.0.1:{port}?name=a&ca_file={authority / 'ca.pem'}")
