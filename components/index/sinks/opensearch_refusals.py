"""Why OpenSearch refused, in the words of a sentence."""

from typing import Any

from opensearchpy import ConnectionError as NotReached
from opensearchpy import ConnectionTimeout, OpenSearchException, TransportError
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

_LONGEST_LINE = 200


def failed_part(status: int, error: dict[str, Any]) -> OpenSearchException:
    """Return the failure of one part of a request as the exception that the whole request would have raised."""
    return HTTP_EXCEPTIONS.get(status, TransportError)(status, str(error.get("type", "")), {"error": error})


def why(error: Exception) -> str:
    """Return the reason, and what helps where that is known."""
    if isinstance(error, ConnectionTimeout):
        return "it did not answer in time"
    if isinstance(error, NotReached):
        return unreached(error)
    if isinstance(error, TransportError):
        return _refused(error)
    return str(error)


def unreached(error: NotReached) -> str:
    """Return what the operating system or OpenSSL says."""
    return str(error.info).rpartition("): ")[2]  # urllib3 writes its own objects before


def _refused(error: TransportError) -> str:
    said = _said(error.info)
    if said is None:
        return f"it answered {error.status_code}{_in_words(error)}"
    kind, reason = str(said.get("type", "")), _reason(said)
    remedies = (remedy for mark, remedy in _REMEDIES if mark in kind or mark in reason)
    return "; ".join([reason, *list(remedies)[:1]])


def _said(info: Any) -> dict[str, Any] | None:
    """Return what an answer says went wrong: in the whole request, or in the first shard of those that refused it."""
    if not isinstance(info, dict):
        return None
    shards = info.get("_shards")
    failures = shards.get("failures") if isinstance(shards, dict) else None
    said = info.get("error") or (failures[0].get("reason") if failures else None)
    return said if isinstance(said, dict) else None


def _in_words(error: TransportError) -> str:
    """Return the answer of a server or a proxy that says why in one line of text; nothing of a page."""
    text = "" if error.info else str(error.error).strip()
    return f": {text}" if 0 < len(text) <= _LONGEST_LINE and not set(text) & set("<{\n") else ""


def _reason(said: dict[str, Any]) -> str:
    """Return the innermost reason: the outer ones are of the kind "all shards failed"."""
    inner = said.get("caused_by") or next(iter(said.get("root_cause", ())), None)
    if isinstance(inner, dict) and inner.get("reason") and inner is not said:
        return _reason(inner)
    return str(said.get("reason", "")).rstrip(";. ")
