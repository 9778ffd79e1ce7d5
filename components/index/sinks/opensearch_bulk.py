"""Documents for OpenSearch, and the requests that put them there, again where it is busy or was away."""

import json
import time
from collections.abc import Iterator

from opensearchpy import ConnectionError as NotReached
from opensearchpy import OpenSearch, OpenSearchException, TransportError

from components.index.sinks.opensearch_refusals import failed_part
from components.index.sinks.sink import Content, Passages, SinkError

_MOST_ID_BYTES = 512
_BYTES_AT_ONCE = 4 << 20  # some services take requests of 10 MiB at most
_PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds before another try
_PASSING = {429, 502, 503, 504}


def documents(content: Content, passages: Passages) -> Iterator[list[str]]:
    """Documents, each after the line with its id, as many at a time as a request holds."""
    lines: list[str] = []
    size = 0
    for position, name in enumerate(passages.ids):
        _check_id(name)
        fields = {"index_version": content.version, "model_version": content.model_version}
        if passages.texts is not None:
            fields["text"] = passages.texts[position]
        # Nine digits are every float32 exactly, in half the bytes that a float64 takes.
        vector = ",".join(map("%.9g".__mod__, passages.vectors[position].tolist()))
        head = json.dumps({"index": {"_id": name}})
        lines.append(f'{head}\n{json.dumps(fields)[:-1]}, "embedding": [{vector}]}}\n')
        size += len(lines[-1])
        if size >= _BYTES_AT_ONCE:
            yield lines
            lines, size = [], 0
    if lines:
        yield lines


def put(client: OpenSearch, alias: str, lines: list[str]) -> None:
    """Send documents until each is stored; ids make a repeated request harmless.

    Raises:
        TransportError: when one is refused, or the server stays busy or away.
    """
    for pause in _PAUSES:
        lines, error = _left(client, alias, lines)
        if error is None:
            return
        time.sleep(pause)
    lines, error = _left(client, alias, lines)
    if error is not None:
        raise error


def _left(client: OpenSearch, alias: str, lines: list[str]) -> tuple[list[str], OpenSearchException | None]:
    """Send documents; return those to be sent again, and why the first of them was not stored."""
    try:
        # Without `require_alias` a request that comes after the index was removed would make another.
        answer = client.bulk(body="".join(lines), index=alias, params={"require_alias": "true"})
    except TransportError as error:
        if isinstance(error, NotReached) or error.status_code in _PASSING:
            return lines, error
        raise
    left, first = [], None
    for line, item in zip(lines, answer["items"], strict=True):
        said = item["index"]
        if "error" not in said:
            continue
        refused = failed_part(said["status"], said["error"])
        if said["status"] not in _PASSING:
            raise refused
        left.append(line)
        first = first or refused
    return left, first


def _check_id(name: str) -> None:
    size = len(name.encode("utf-8"))
    if not 0 < size <= _MOST_ID_BYTES:
        raise SinkError(
            f"A passage id has {size} bytes where OpenSearch takes 1 to {_MOST_ID_BYTES} (it begins {name[:40]!r}); "
            "change the id."
        )
