"""PostgreSQL with pgvector: a table for each version, and the view that readers search in.

``CREATE OR REPLACE VIEW`` is one transaction, and keeps the grants and the views that others built on it. The view has
the index's and the model's version as columns, so every row says what made it. Which version a table holds is the
table's comment, written in the transaction that makes the table whole.
"""

import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import LiteralString

import numpy as np
import psycopg
from psycopg import sql
from pydantic import ValidationError

from components.index.sinks.sink import (
    Content,
    Hits,
    Passages,
    SinkError,
    checked_name,
    store_name,
    told_in_one_sentence,
)
from components.search.shard import Vectors

_CONNECT_WITHIN = 10  # seconds
_MOST_DIMENSIONS = 2000  # that an index of pgvector takes for `vector`
# A lock that is waited for holds up every reader who comes after: so it is waited for briefly, and asked for again.
_LOCK_WITHIN, _LOCK_TRIES, _LOCK_PAUSE = "500ms", 20, 0.5
_COPY_HEAD = b"PGCOPY\n\xff\r\n\x00" + struct.pack("!ii", 0, 0)
_COPY_TAIL = struct.pack("!h", -1)
_ABSENT = struct.pack("!i", -1)
_ROWS_AT_ONCE = 256


class PgvectorSink:
    """One view in a PostgreSQL database, and the tables behind it."""

    def __init__(self, dsn: str, name: str, *, ef_search: int | None = None, exact_below: int = 10_000) -> None:
        """Connect.

        Args:
            dsn: a connection string or URI of libpq; what it leaves out comes from PGPASSWORD and the like.
            name: the view's.
            ef_search: how many candidates the search keeps, as readers set hnsw.ef_search; the server's default when
                None.
            exact_below: the number of passages below which no approximate index is built.

        Raises:
            SinkError: when the database does not let us in, or has no pgvector.
        """
        self._name = checked_name(name, "view")
        self._ef_search = ef_search
        self._exact_below = exact_below
        host = psycopg.conninfo.conninfo_to_dict(dsn).get("host") or "the local PostgreSQL"
        with told_in_one_sentence(f"PostgreSQL at {host}", "it was connected to", psycopg.Error):
            self._connection = psycopg.connect(dsn, autocommit=True, connect_timeout=_CONNECT_WITHIN)
        info = self._connection.info
        self._place = f"{self._name} in PostgreSQL database {info.dbname} at {info.host}"
        with self._errors("pgvector was looked for"):
            self._require_extension()

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return self._place

    def stored(self) -> dict[str, Content]:
        """Return the versions that are whole."""
        with self._errors("its versions were listed"):
            rows = self._connection.execute(
                "SELECT relname, obj_description(oid, 'pg_class') FROM pg_class WHERE relkind = 'r' "
                "AND relname LIKE %s AND pg_table_is_visible(oid)",
                [self._name.replace("_", r"\_") + r"\_v%"],
            ).fetchall()
        found = (_content(comment) for _, comment in rows)
        return {content.version: content for content in found if content is not None}

    def current(self) -> str | None:
        """Return the version that the view shows."""
        with self._errors("its view was looked at"):
            row = self._connection.execute(
                "SELECT relkind, obj_description(oid, 'pg_class') FROM pg_class "
                "WHERE relname = %s AND pg_table_is_visible(oid)",
                [self._name],
            ).fetchone()
        if row is None:
            return None
        content = _content(row[1])
        if row[0] not in {"v", b"v"} or content is None:
            raise SinkError(f"{self.place} is there and is no view of ranklift's; name another in the sink's URI.")
        return content.version

    def begin(self, content: Content) -> None:
        """Make the table of a version."""
        if content.dimension > _MOST_DIMENSIONS and content.count >= self._exact_below:
            raise SinkError(
                f"pgvector indexes at most {_MOST_DIMENSIONS} dimensions, and {content.version} has "
                f"{content.dimension}; train with a shorter embedding, or use another database."
            )
        with self._errors(f"a table for {content.version} was made"):
            self._claim(content)
            self._execute("DROP TABLE IF EXISTS {}", self._table(content.version))
            self._execute(
                "CREATE TABLE {} (id text PRIMARY KEY, text text, embedding vector({}) NOT NULL)",
                self._table(content.version), sql.Literal(content.dimension),
            )  # fmt: skip

    def add(self, content: Content, passages: Passages) -> None:
        """Put passages into the table."""
        if any("\0" in name for name in passages.ids):
            raise SinkError("A passage id has a NUL character, which PostgreSQL does not store; change the id.")
        statement = sql.SQL("COPY {} (id, text, embedding) FROM STDIN (FORMAT binary)")
        with (
            self._errors(f"passages of {content.version} were put into it"),
            self._connection.cursor() as cursor,
            cursor.copy(statement.format(self._table(content.version))) as copy,
        ):
            copy.write(_COPY_HEAD)
            for rows in _rows(passages):
                copy.write(rows)
            copy.write(_COPY_TAIL)

    def finish(self, content: Content) -> None:
        """Build the index, note what the table holds, and let its transaction make it whole."""
        table = self._table(content.version)
        with self._errors(f"the index of {content.version} was built"), self._connection.transaction():
            if content.count >= self._exact_below:
                self._execute(
                    "CREATE INDEX ON {} USING hnsw (embedding vector_ip_ops) WITH (m = 16, ef_construction = 200)",
                    table,
                )
            self._execute("COMMENT ON TABLE {} IS {}", table, sql.Literal(content.model_dump_json()))
        with self._errors(f"{content.version} was analysed"):
            self._execute("ANALYZE {}", table)
            self._connection.execute("SELECT pg_advisory_unlock_all()")

    def count(self, content: Content) -> int:
        """Return the number of rows in the table."""
        with self._errors(f"{content.version} was counted"):
            row = self._connection.execute(
                sql.SQL("SELECT count(*) FROM {}").format(self._table(content.version))
            ).fetchone()
        return int(row[0]) if row else 0

    def search(self, content: Content, queries: Vectors, depth: int) -> list[Hits]:
        """Return the nearest passages, as a reader's SELECT finds them."""
        statement = sql.SQL("SELECT id, -(embedding <#> %s::vector) FROM {} ORDER BY embedding <#> %s::vector LIMIT %s")
        ask = statement.format(self._table(content.version))
        found = []
        with self._errors(f"{content.version} was searched"), self._connection.transaction():
            if self._ef_search is not None:
                self._execute("SET LOCAL hnsw.ef_search = {}", sql.Literal(self._ef_search))
            for query in queries:
                literal = _literal(query)
                rows = self._connection.execute(ask, [literal, literal, depth]).fetchall()
                found.append([(str(name), float(score)) for name, score in rows])
        return found

    def switch(self, content: Content) -> None:
        """Replace the view: one transaction, after which every new statement of a reader sees the version."""
        # The type without a length, so that a version of another dimension can take its place.
        view = sql.SQL(
            "CREATE OR REPLACE VIEW {} AS SELECT id, text, embedding::vector AS embedding, "
            "{}::text AS index_version, {}::text AS model_version FROM {}"
        ).format(
            sql.Identifier(self._name), sql.Literal(content.version), sql.Literal(content.model_version),
            self._table(content.version),
        )  # fmt: skip
        comment = sql.SQL("COMMENT ON VIEW {} IS {}").format(
            sql.Identifier(self._name), sql.Literal(content.model_dump_json())
        )
        with self._errors(f"readers were switched to {content.version}"):
            self._in_one_step([view, comment])

    def remove(self, version: str) -> None:
        """Drop the table of a version."""
        with self._errors(f"{version} was removed"):
            self._in_one_step([sql.SQL("DROP TABLE IF EXISTS {}").format(self._table(version))])

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _require_extension(self) -> None:
        there = self._connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'vector'").fetchone()
        if there is None:
            try:
                self._connection.execute("CREATE EXTENSION vector")
            except psycopg.Error as error:
                raise SinkError(
                    f"{self.place} has no pgvector, and it could not be made ({str(error).splitlines()[0]}); an "
                    "administrator installs it and runs `CREATE EXTENSION vector`."
                ) from error

    def _claim(self, content: Content) -> None:
        """Hold a lock for the time of the fill; the server frees it when the connection ends, whatever ends it."""
        key = store_name(self._name, content.version)
        row = self._connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [key]).fetchone()
        if not row or not row[0]:
            raise SinkError(f"Another process fills {content.version} in {self.place}; wait for it to end.")

    def _in_one_step(self, statements: Sequence[sql.Composed]) -> None:
        for left in reversed(range(_LOCK_TRIES)):
            try:
                with self._connection.transaction():
                    self._execute("SET LOCAL lock_timeout = {}", sql.Literal(_LOCK_WITHIN))
                    for statement in statements:
                        self._connection.execute(statement)
            except psycopg.errors.LockNotAvailable:
                if not left:
                    raise
                time.sleep(_LOCK_PAUSE)
            else:
                return

    def _table(self, version: str) -> sql.Identifier:
        return sql.Identifier(store_name(self._name, version))

    def _execute(self, statement: LiteralString, *parts: sql.Composable) -> None:
        self._connection.execute(sql.SQL(statement).format(*parts))

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        with told_in_one_sentence(self.place, doing, psycopg.Error):
            yield


def _content(comment: str | None) -> Content | None:
    """Return what a comment of ours says; None for a comment of somebody else, and for none."""
    try:
        return Content.model_validate_json(comment or "")
    except ValidationError:
        return None


def _rows(passages: Passages) -> Iterator[bytes]:
    """Rows of (text, text, vector) in the binary form of COPY, some hundred at a time."""
    dimension = passages.vectors.shape[1]
    head = struct.pack("!ihh", 4 + 4 * dimension, dimension, 0)
    big = passages.vectors.astype(np.dtype(">f4"))
    for start in range(0, len(passages.ids), _ROWS_AT_ONCE):
        parts = []
        for row in range(start, min(start + _ROWS_AT_ONCE, len(passages.ids))):
            text = None if passages.texts is None else passages.texts[row]
            parts += [struct.pack("!h", 3), _field(passages.ids[row]), _field(text), head, big[row].tobytes()]
        yield b"".join(parts)


def _field(text: str | None) -> bytes:
    if text is None:
        return _ABSENT
    content = text.replace("\0", "\ufffd").encode("utf-8")  # PostgreSQL's text holds no NUL
    return struct.pack("!i", len(content)) + content


def _literal(vector: Vectors) -> str:
    return "[" + ",".join(map(repr, vector.tolist())) + "]"
