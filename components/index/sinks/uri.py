"""Which database a URI names."""

import os
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from components.index.sinks.sink import DEFAULT_NAME, Sink, SinkError

_MILVUS_VARIABLE = "RANKLIFT_MILVUS_TOKEN"
_OPENSEARCH_VARIABLE = "RANKLIFT_OPENSEARCH_PASSWORD"

_EXAMPLES = "postgresql://user@host/database, milvus+http://host:19530 or opensearch+https://user@host:9200"
_POSTGRES = {"postgresql", "postgres"}
_OVER_HTTP = {"milvus+http", "milvus+https", "opensearch+http", "opensearch+https"}
_OURS = ("name", "ef_search")
_CA_FILE = "ca_file"  #: of OpenSearch alone: PostgreSQL has its sslrootcert


def open_sink(uri: str) -> Sink:
    """Connect to the database that a URI names.

    ``postgresql://user@host/database``, ``milvus+http://host:19530/database`` and ``opensearch+https://user@host:9200``,
    each with ``?name=`` for the view or alias that readers search under and ``&ef_search=`` for how thorough they
    search. Passwords come from PGPASSWORD or ``~/.pgpass`` and from RANKLIFT_OPENSEARCH_PASSWORD, a token for Milvus
    from RANKLIFT_MILVUS_TOKEN. ``&ca_file=`` names the certificate of a private authority for OpenSearch.

    Raises:
        SinkError: when it is none of these, the client library is not installed, or the database does not answer.
    """
    parts = _split(uri)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    name, ef_search = options.get("name", DEFAULT_NAME), _whole_number(options.get("ef_search"))
    try:
        if parts.scheme in _POSTGRES:
            return _pgvector(parts, options, name, ef_search)
        _check_http(parts, options)
        if parts.scheme.startswith("milvus"):
            return _milvus(parts, name, ef_search)
        return _opensearch(parts, name, ef_search, options.get(_CA_FILE, ""))
    except ImportError as error:
        raise SinkError(
            f"The client library {error.name} is not installed; `pip install 'ranklift[sinks]'` installs it."
        ) from error


def _split(uri: str) -> SplitResult:
    try:
        parts = urlsplit(uri)
        known = parts.scheme in _POSTGRES | _OVER_HTTP
        whole = known and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
    if not whole:
        scheme = uri.partition(":")[0][:40]  # what follows may have a password in it
        raise SinkError(
            f"The sink's URI ({scheme}:…) does not name a database that ranklift supports; write {_EXAMPLES}."
        )
    return parts


def _whole_number(value: str | None) -> int | None:
    if value is None:
        return None
    if not value.isdecimal() or not 1 <= int(value) <= 1000:
        raise SinkError(f"ef_search={value!r} in the sink's URI must be a whole number from 1 to 1000, such as 100.")
    return int(value)


def _check_http(parts: SplitResult, options: dict[str, str]) -> None:
    if not parts.hostname:
        raise SinkError(f"The sink's URI does not name a host; write {_EXAMPLES}.")
    known = (*_OURS, _CA_FILE) if parts.scheme.startswith("opensearch") else _OURS
    unknown = sorted(options.keys() - set(known))
    if unknown:
        takes = f"{', '.join(known[:-1])} and {known[-1]}"
        raise SinkError(f"The sink's URI has the unknown parameter {unknown[0]!r}; it takes {takes}.")
    if _CA_FILE in options and not (options[_CA_FILE] and parts.scheme.endswith("https")):
        raise SinkError(
            f"{_CA_FILE}={options[_CA_FILE]!r} in the sink's URI must be a file of certificates, in a URI that begins "
            "with opensearch+https://."
        )


def _pgvector(parts: SplitResult, options: dict[str, str], name: str, ef_search: int | None) -> Sink:
    from components.index.sinks.pgvector import PgvectorSink

    theirs = urlencode({key: value for key, value in options.items() if key not in _OURS}, quote_via=quote)
    return PgvectorSink(parts._replace(query=theirs).geturl(), name, ef_search=ef_search)


def _milvus(parts: SplitResult, name: str, ef_search: int | None) -> Sink:
    from components.index.sinks.milvus import MilvusSink

    token = os.environ.get(_MILVUS_VARIABLE, "") or unquote(parts.netloc.rpartition("@")[0])
    return MilvusSink(_address(parts), name, token=token, database=parts.path.strip("/"), ef_search=ef_search)


def _opensearch(parts: SplitResult, name: str, ef_search: int | None, ca_file: str) -> Sink:
    from components.index.sinks.opensearch import OpenSearchSink
    from components.index.sinks.opensearch_access import Access

    user = unquote(parts.username or "")
    password = os.environ.get(_OPENSEARCH_VARIABLE, "") or unquote(parts.password or "")
    access = Access(_address(parts) + parts.path.rstrip("/"), user, password, ca_file)
    return OpenSearchSink(access, name, ef_search=ef_search)


def _address(parts: SplitResult) -> str:
    """Return scheme, host and port, without who connects."""
    return f"{parts.scheme.partition('+')[2]}://{parts.netloc.rpartition('@')[2]}"
