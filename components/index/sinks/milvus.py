"""Milvus: a collection for each version, and the alias that readers search under.

A collection is filled under a name with ``_filling`` at its end and renamed when it is whole, so that its name alone
says so. Every passage carries the index's and the model's version, as a search result cannot say what alias it is of.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError
from pymilvus import DataType, MilvusClient, MilvusException

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

_WITHIN = 60.0  # seconds for one call
_BUILD_WITHIN = 24 * 3600.0  # for the index of a large collection
_PROPERTY = "ranklift"
_FILLING = "_filling"
_MOST_BYTES = 65_535  # of a text
_MOST_ID_BYTES = 512
_ROWS_AT_ONCE = 512
_BYTES_AT_ONCE = 4 << 20  # of an insert; Milvus takes 64 MiB, its own columns included


class MilvusSink:
    """One alias in a Milvus database, and the collections behind it."""

    def __init__(
        self, uri: str, name: str, *, token: str = "", database: str = "", ef_search: int | None = None,
        exact_below: int = 10_000,
    ) -> None:  # fmt: skip
        """Connect.

        Args:
            uri: ``http(s)://host:port``.
            name: the alias.
            token: ``user:password`` or a token; empty where the server asks for none.
            database: Milvus' own; the default one when empty.
            ef_search: how many candidates the search keeps, as readers set ``ef``; 64 when None.
            exact_below: the number of passages below which no approximate index is built.

        Raises:
            SinkError: when the server does not let us in.
        """
        self._name = checked_name(name, "collection")
        self._ef_search = ef_search or 64
        self._exact_below = exact_below
        self._place = f"{self._name} in Milvus at {uri.partition('://')[2]}"
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs a traceback for whatever it raises
        with self._errors("it was connected to"):
            self._client = MilvusClient(uri=uri, token=token, db_name=database, timeout=_WITHIN)

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return self._place

    def stored(self) -> dict[str, Content]:
        """Return the versions that are whole."""
        with self._errors("its versions were listed"):
            names = [name for name in self._client.list_collections(timeout=_WITHIN) if self._is_whole(name)]
            found = [self._content(name) for name in names]
        return {content.version: content for content in found if content is not None}

    def current(self) -> str | None:
        """Return the version that the alias names."""
        with self._errors("its alias was looked at"):
            collection = self._aliased()
            if collection is None:
                return None
            content = self._content(collection)
        if content is None:
            raise SinkError(f"{self.place} is there and is no alias of ranklift's; name another in the sink's URI.")
        return content.version

    def begin(self, content: Content) -> None:
        """Make the collection of a version."""
        name = self._filling(content)
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, max_length=_MOST_ID_BYTES, is_primary=True)
        schema.add_field("text", DataType.VARCHAR, max_length=_MOST_BYTES)
        schema.add_field("index_version", DataType.VARCHAR, max_length=32)
        schema.add_field("model_version", DataType.VARCHAR, max_length=64)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=content.dimension)
        with self._errors(f"a collection for {content.version} was made"):
            self._client.drop_collection(name, timeout=_WITHIN)
            self._client.create_collection(name, schema=schema, consistency_level="Strong", timeout=_WITHIN)

    def add(self, content: Content, passages: Passages) -> None:
        """Put passages into the collection."""
        with self._errors(f"passages of {content.version} were put into it"):
            for rows in self._rows(content, passages):
                self._client.insert(self._filling(content), rows, timeout=_WITHIN)

    def finish(self, content: Content) -> None:
        """Build the index, note what the collection holds, and give it the name of a whole one."""
        filling = self._filling(content)
        with self._errors(f"the index of {content.version} was built"):
            self._client.flush(filling, timeout=_BUILD_WITHIN)
            self._client.create_index(filling, self._index(content), timeout=_BUILD_WITHIN)
            self._client.alter_collection_properties(filling, {_PROPERTY: content.model_dump_json()}, timeout=_WITHIN)
            self._client.rename_collection(filling, store_name(self._name, content.version), timeout=_WITHIN)

    def count(self, content: Content) -> int:
        """Return the number of passages in the collection."""
        name = store_name(self._name, content.version)
        with self._errors(f"{content.version} was counted"):
            self._client.load_collection(name, timeout=_BUILD_WITHIN)
            rows = self._client.query(
                name, filter="", output_fields=["count(*)"], consistency_level="Strong", timeout=_BUILD_WITHIN
            )
        return int(rows[0]["count(*)"])

    def search(self, content: Content, queries: Vectors, depth: int) -> list[Hits]:
        """Return the nearest passages, as a reader's search finds them."""
        name = store_name(self._name, content.version)
        found: list[Hits] = []
        with self._errors(f"{content.version} was searched"):
            self._client.load_collection(name, timeout=_BUILD_WITHIN)
            for start in range(0, len(queries), 100):
                answer = self._client.search(
                    name, data=queries[start : start + 100], anns_field="embedding", limit=depth,
                    search_params={"metric_type": "IP", "params": {"ef": max(self._ef_search, depth)}},
                    consistency_level="Strong", timeout=_WITHIN,
                )  # fmt: skip
                found += [[(str(hit["id"]), float(hit["distance"])) for hit in hits] for hits in answer]
        return found

    def switch(self, content: Content) -> None:
        """Move the alias: one call, after which every search under it finds the version."""
        name = store_name(self._name, content.version)
        with self._errors(f"readers were switched to {content.version}"):
            self._client.load_collection(name, timeout=_BUILD_WITHIN)
            if self._aliased() is None:
                self._client.create_alias(name, self._name, timeout=_WITHIN)
            else:
                self._client.alter_alias(name, self._name, timeout=_WITHIN)

    def remove(self, version: str) -> None:
        """Drop the collection of a version."""
        with self._errors(f"{version} was removed"):
            self._client.drop_collection(store_name(self._name, version), timeout=_WITHIN)

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def _filling(self, content: Content) -> str:
        return store_name(self._name, content.version) + _FILLING

    def _is_whole(self, name: str) -> bool:
        return name.startswith(f"{self._name}_v") and not name.endswith(_FILLING)

    def _aliased(self) -> str | None:
        """Return the collection that the alias names; None when there is none."""
        for collection in self._client.list_collections(timeout=_WITHIN):
            if collection == self._name:
                raise SinkError(f"{self.place} is a collection, not an alias; name another in the sink's URI.")
            if self._name in self._client.list_aliases(collection, timeout=_WITHIN)["aliases"]:
                return str(collection)
        return None

    def _content(self, collection: str) -> Content | None:
        said = self._client.describe_collection(collection, timeout=_WITHIN)["properties"].get(_PROPERTY, "")
        try:
            return Content.model_validate_json(said)
        except ValidationError:
            return None

    def _index(self, content: Content) -> Any:
        index = MilvusClient.prepare_index_params()
        exact = content.count < self._exact_below
        options: dict[str, Any] = {} if exact else {"params": {"M": 16, "efConstruction": 200}}
        index.add_index("embedding", index_type="FLAT" if exact else "HNSW", metric_type="IP", **options)
        return index

    def _rows(self, content: Content, passages: Passages) -> Iterator[list[dict[str, Any]]]:
        """Rows to insert, as many at a time as a request holds."""
        rows: list[dict[str, Any]] = []
        size = 0
        for position, name in enumerate(passages.ids):
            self._check_id(name)
            text = "" if passages.texts is None else _cut(passages.texts[position])
            rows.append(
                {
                    "id": name,
                    "text": text,
                    "index_version": content.version,
                    "model_version": content.model_version,
                    "embedding": passages.vectors[position],
                }
            )
            size += 4 * content.dimension + len(text.encode("utf-8"))
            if len(rows) == _ROWS_AT_ONCE or size >= _BYTES_AT_ONCE:
                yield rows
                rows, size = [], 0
        if rows:
            yield rows

    def _check_id(self, name: str) -> None:
        size = len(name.encode("utf-8"))
        if size > _MOST_ID_BYTES:
            raise SinkError(
                f"A passage id has {size} bytes where Milvus keys have {_MOST_ID_BYTES} at most (it begins "
                f"{name[:40]!r}); give the passages shorter ids."
            )

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        with told_in_one_sentence(self.place, doing, MilvusException):
            yield


def _cut(text: str) -> str:
    """Return the text, or as much of it as Milvus holds; texts are for showing, and the embedding is of all of it."""
    content = text.encode("utf-8")
    return text if len(content) <= _MOST_BYTES else content[:_MOST_BYTES].decode("utf-8", "ignore")
