"""Who asks OpenSearch, whose certificates are trusted, and what helps where the server does not let us in."""

import base64
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opensearchpy import AuthenticationException, Connection, OpenSearch, SSLError, TransportError

from components.index.sinks.opensearch_refusals import unreached, why
from components.index.sinks.sink import SinkError

_WITHIN = 60  # seconds for one request
_NO_HTTP = "Connection aborted", "to an HTTPS server", "to HTTPS port"  # OpenSearch itself, and two kinds of proxy
_NO_CERTIFICATE = "it asks for a client's certificate, which ranklift does not have; have it ask for a password"
_TLS = (
    # what OpenSSL says, and the sentence that it becomes
    ("mismatch", "{said}; write a host into the sink's URI that the certificate is for"),
    ("has expired", "its certificate has expired, or this machine's clock is wrong; an administrator renews it"),
    ("not yet valid", "its certificate is not valid yet, or this machine's clock is wrong"),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "no authority in {trusted} vouches for its certificate ({said}); name the file of the authority that signed it "
        "with &ca_file=… in the sink's URI",
    ),
    ("WRONG_VERSION_NUMBER", "it speaks no TLS there; write opensearch+http:// into the sink's URI, or another port"),
    ("CERTIFICATE_REQUIRED", _NO_CERTIFICATE),
    ("ALERT_BAD_CERTIFICATE", _NO_CERTIFICATE),  # in OpenSearch's words
)


@dataclass(frozen=True)
class Access:
    """What a server is asked with."""

    uri: str  #: ``http(s)://host:port``, and the path of a proxy
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""  #: certificates of authorities; those of the environment when empty

    def client(self) -> OpenSearch:
        """Return a client, which has not connected yet.

        Raises:
            SinkError: when the file of certificates cannot be used.
        """
        options: dict[str, Any] = {"ssl_context": self._context()} if self.uri.startswith("https:") else {}
        return OpenSearch([self.uri], headers=self._login(), timeout=_WITHIN, max_retries=0, **options)

    def why(self, error: Exception) -> str:
        """Return the reason of a refusal, and what helps where that is known."""
        if isinstance(error, SSLError):
            return self._why_no_tls(error)
        if isinstance(error, AuthenticationException):
            return self._why_not_let_in()
        return why(error)

    def why_at_first(self, error: Exception) -> str:
        """Return the reason why the first request failed, which may be that the server speaks TLS and we do not."""
        said = str(error.error) if isinstance(error, TransportError) else ""
        if self.uri.startswith("http:") and any(mark in said for mark in _NO_HTTP):
            return "it does not answer over HTTP; where it speaks TLS, write opensearch+https:// into the sink's URI"
        return self.why(error)

    def _login(self) -> dict[str, str]:
        """Return the header that the client would make of a login, which knows no letters beyond Latin-1."""
        if not self.user:
            return {}
        return {"authorization": "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()}

    def _trusted(self) -> str:
        """Return the file or folder of certificates: ca_file, SSL_CERT_FILE, SSL_CERT_DIR, or what certifi brings."""
        return self.ca_file or str(Connection.default_ca_certs())

    def _context(self) -> ssl.SSLContext:
        trusted = self._trusted()
        folder = not self.ca_file and Path(trusted).is_dir()
        try:
            return ssl.create_default_context(cafile=None if folder else trusted, capath=trusted if folder else None)
        except OSError as error:
            source = "ca_file in the sink's URI" if self.ca_file else "SSL_CERT_FILE"
            raise SinkError(
                f"{source} names {trusted}, of which no certificate can be read ({_openssl(str(error))}); name the PEM "
                "file of the authority that signed the server's certificate."
            ) from error

    def _why_no_tls(self, error: SSLError) -> str:
        said = unreached(error)
        sentence = next((sentence for mark, sentence in _TLS if mark in said), "{said}")
        return sentence.format(said=_openssl(said), trusted=self._trusted())

    def _why_not_let_in(self) -> str:
        if not self.user:
            return "it asks for a user; write the user into the URI, and set RANKLIFT_OPENSEARCH_PASSWORD"
        if not self.password:
            return f"it asks for the password of {self.user!r}; set RANKLIFT_OPENSEARCH_PASSWORD"
        return f"it refused the user {self.user!r} or the password; correct the URI or RANKLIFT_OPENSEARCH_PASSWORD"


def _openssl(said: str) -> str:
    """Return what OpenSSL says without the names and places of its source code."""
    return said.partition(" (_ssl.c")[0].rpartition("] ")[2].removeprefix("certificate verify failed: ").rstrip(".")
