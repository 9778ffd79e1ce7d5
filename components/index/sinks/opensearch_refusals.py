"""Why OpenSearch refused, in the words of a sentence."""

from typing import Any

from opensearchpy import AuthenticationException, ConnectionTimeout, OpenSearchException, SSLError, TransportError
from opensearchpy import ConnectionError as NotReached
from opensearchpy.exceptions import HTTP_EXCEPTIONS

_REMEDIES = (
    # what the type or the reason has in it, and what helps
    ("flood-stage watermark", "free disk space on its nodes"),
    ("create-index blocked", "free disk space on its nodes, or set cluster.blocks.create_index to null"),
    ("cluster_block_exception", "lift the block"),
    ("unknown setting [index.knn]", "an administrator installs the k-NN plugin, opensearch-knn, on every node"),
    ("No handler for type [knn_vector]", "an administrator installs the k-NN plugin, opensearch-knn, on every node"),
    ("security_exception", "give the user a role with this permission"),
    ("_filling_", "another process fills this version as well, and began after this one"),
)


def failed_part(status: int, error: dict[str, Any]) -> OpenSearchException:
    """Return the failure of one part of a request as the exception that the whole request would have raised."""
    return HTTP_EXCEPTIONS.get(status, TransportError)(status, str(error.get("type", "")), {"error": error})


def why(error: Exception) -> str:
    """Return the reason, and what helps where that is known."""
    if isinstance(error, ConnectionTimeout):
        return "it did not answer in time"
    if isinstance(error, SSLError):
        return f"{_unreached(error)}; SSL_CERT_FILE names the certificates of an authority of your own"
    if isinstance(error, NotReached):
        return _unreached(error)
    if isinstance(error, AuthenticationException):
        return "it refused the user or the password; write the user into the URI, and set RANKLIFT_OPENSEARCH_PASSWORD"
    if isinstance(error, TransportError):
        return _refused(error)
    return str(error)


def _unreached(error: NotReached) -> str:
    return str(error.info).rpartition("): ")[2]  # urllib3 writes its own objects before


def _refused(error: TransportError) -> str:
    said = error.info.get("error") if isinstance(error.info, dict) else None
    if not isinstance(said, dict):
        return f"it answered {error.status_code}"
    kind, reason = error.error, _reason(said)
    remedies = (remedy for mark, remedy in _REMEDIES if mark in kind or mark in reason)
    return "; ".join([reason, *list(remedies)[:1]])


def _reason(said: dict[str, Any]) -> str:
    """Return the innermost reason: the outer ones are of the kind "all shards failed"."""
    inner = said.get("caused_by") or next(iter(said.get("root_cause", ())), None)
    if isinstance(inner, dict) and inner.get("reason") and inner is not said:
        return _reason(inner)
    return str(said.get("reason", "")).rstrip(";. ")
