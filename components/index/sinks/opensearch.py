"""OpenSearch: an index for each version, and the alias that readers search under.

An index is filled through an alias with a random name that this process alone knows: where another process begins the
same version anew, the index and the alias are gone, and a late request is refused instead of going into the new index.
Which version an index holds is the `_meta` of its mapping, written when it is whole. Every document has the index's and
the model's version.
"""

import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opensearchpy import OpenSearchException
from pydantic import ValidationError

from components.index.sinks.opensearch_access import Access
from components.index.sinks.opensearch_bulk import documents, put
from components.index.sinks.opensearch_refusals import failed_part
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

_OLDEST = (2, 16)  # the first that takes ef_search with a query
_META = "ranklift"
_FILLING = "filling"  #: in place of the content while an index is filled
_LOOK_AGAIN = 0.2, 10.0  # seconds between two questions whether a merge has ended: at first, and at most
_QUERIES_AT_ONCE = 100


class OpenSearchSink:
    """One alias in an OpenSearch cluster, and the indices behind it."""

    def __init__(self, access: Access, name: str, *, ef_search: int | None = None) -> None:
        """Connect.

        Args:
            access: where the server is, who asks, and whose certificates are trusted.
            name: the alias.
            ef_search: how many candidates the search keeps, as readers set ``ef_search``; 100 when None.

        Raises:
            SinkError: when the server does not let us in, or is no OpenSearch of a version that ranklift supports.
        """
        self._name = _alias_name(name)
        self._ef_search = ef_search or 100
        self._access = access
        self._place = f"{self._name} in OpenSearch at {access.uri.partition('://')[2]}"
        self._filling = ""
        logging.getLogger("opensearch").setLevel(logging.CRITICAL)  # it logs whatever it raises
        self._client = access.client()
        with told_in_one_sentence(self._place, "it was connected to", OpenSearchException, why=access.why_at_first):
            self._require_version(self._client.info())

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return self._place

    def stored(self) -> dict[str, Content]:
        """Return the versions that are whole."""
        with self._errors("its versions were listed"):
            found = self._metas(f"{self._name}_v*")
        contents = {index: _content(meta) for index, meta in found.items()}
        return {
            content.version: content
            for index, content in contents.items()
            if content is not None and index == self._index(content.version)
        }

    def current(self) -> str | None:
        """Return the version that the alias names."""
        with self._errors("its alias was looked at"):
            found = self._metas(self._name)
        if not found:
            return None
        if self._name in found:
            raise SinkError(f"{self.place} is an index, not an alias; set another name in the sink's URI (?name=…).")
        contents = [_content(meta) for meta in found.values()]
        if len(contents) > 1 or contents[0] is None:
            raise SinkError(
                f"{self.place} is an alias that ranklift did not make (of {', '.join(sorted(found))}); set another "
                "name in the sink's URI (?name=…)."
            )
        return contents[0].version

    def begin(self, content: Content) -> None:
        """Make the index of a version."""
        index = self._index(content.version)
        self._filling = f"{index}_filling_{secrets.token_hex(4)}"
        with self._errors(f"an index for {content.version} was made"):
            self._remove_unfinished(index)
            made = self._client.indices.create(index=index, body=_definition(content, self._filling))
            if not made["shards_acknowledged"]:
                self._client.indices.delete(index=index)  # else it stays, and the cluster's health is red
                raise SinkError(
                    f"{self.place} has no node that takes the shards of {index}; "
                    "`GET _cluster/allocation/explain` says why, such as a full disk."
                )

    def add(self, content: Content, passages: Passages) -> None:
        """Put passages into the index."""
        with self._errors(f"passages of {content.version} were put into it"):
            for lines in documents(content, passages):
                put(self._client, self._filling, lines)

    def finish(self, content: Content) -> None:
        """Merge each shard into one graph, note what the index holds, and let that make it whole."""
        index = self._index(content.version)
        with self._errors(f"the index of {content.version} was built"):
            self._merge()
            self._client.indices.put_settings(index=self._filling, body={"index": {"refresh_interval": None}})
            meta = {"_meta": {_META: content.model_dump()}}
            self._client.indices.put_mapping(index=self._filling, body=meta)
            self._client.indices.delete_alias(index=index, name=self._filling)

    def count(self, content: Content) -> int:
        """Return the number of documents in the index."""
        index = self._index(content.version)
        with self._errors(f"{content.version} was counted"):
            self._client.indices.refresh(index=index)
            answer = self._client.count(index=index)
            _require_all_shards(answer)
        return int(answer["count"])

    def search(self, content: Content, queries: Vectors, depth: int) -> list[Hits]:
        """Return the nearest passages, as a reader's `knn` query finds them."""
        header = {"index": self._index(content.version), "allow_partial_search_results": False}
        found: list[Hits] = []
        with self._errors(f"{content.version} was searched"):
            for start in range(0, len(queries), _QUERIES_AT_ONCE):
                body: list[dict[str, Any]] = []
                for query in queries[start : start + _QUERIES_AT_ONCE]:
                    body += [header, self._query(query.tolist(), depth)]
                answers = self._client.msearch(body=body)["responses"]
                found += [_hits(answer) for answer in answers]
        return found

    def switch(self, content: Content) -> None:
        """Move the alias: one request that OpenSearch carries out as one step."""
        actions = [
            {"remove": {"index": f"{self._name}_v*", "alias": self._name, "must_exist": False}},
            {"add": {"index": self._index(content.version), "alias": self._name}},
        ]
        with self._errors(f"readers were switched to {content.version}"):
            answer = self._client.indices.update_aliases(body={"actions": actions})
        if not answer["acknowledged"] and self.current() != content.version:
            raise SinkError(f"{self.place} did not say within its time limit that the alias was moved; publish again.")

    def remove(self, version: str) -> None:
        """Delete the index of a version."""
        with self._errors(f"{version} was removed"):
            self._client.indices.delete(index=self._index(version), params={"ignore": 404})

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def _index(self, version: str) -> str:
        return store_name(self._name, version)

    def _metas(self, pattern: str) -> dict[str, Any]:
        """Return what ranklift noted in each index of a name, an alias or a pattern; None where it noted nothing."""
        found = self._client.indices.get_mapping(index=pattern, params={"ignore": 404})
        if "error" in found:
            return {}
        return {index: said["mappings"].get("_meta", {}).get(_META) for index, said in found.items()}

    def _remove_unfinished(self, index: str) -> None:
        metas = self._metas(index)
        if not metas:
            return
        if metas.get(index) is None:
            raise SinkError(
                f"{self.place} has {index}, which ranklift did not make; set another name in the sink's URI (?name=…)."
            )
        self._client.indices.delete(index=index)

    def _merge(self) -> None:
        """Merge as a task of the server: a request may be cut by a proxy long before a large merge has ended."""
        started = self._client.indices.forcemerge(
            index=self._filling, params={"max_num_segments": 1, "wait_for_completion": "false"}
        )
        pause, longest = _LOOK_AGAIN
        while not (state := self._client.tasks.get(task_id=started["task"]))["completed"]:
            time.sleep(pause)
            pause = min(pause * 2, longest)
        if "error" in state:
            raise failed_part(500, state["error"])
        _require_all_shards(state["response"])

    def _query(self, vector: list[float], depth: int) -> dict[str, Any]:
        candidates = {"ef_search": max(self._ef_search, depth)}
        knn = {"embedding": {"vector": vector, "k": depth, "method_parameters": candidates}}
        return {"size": depth, "_source": False, "query": {"knn": knn}}

    def _require_version(self, info: Any) -> None:
        version = info.get("version", {}) if isinstance(info, dict) else {}
        number, kind = str(version.get("number", "")), str(version.get("distribution", "another server"))
        parts = tuple(int(part) for part in number.split(".")[:2] if part.isdecimal())
        if kind != "opensearch" or parts < _OLDEST:
            needed = ".".join(map(str, _OLDEST))
            raise SinkError(f"{self.place} is {kind} {number}".rstrip() + f"; OpenSearch {needed} or later is needed.")

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        with told_in_one_sentence(self.place, doing, OpenSearchException, why=self._access.why):
            yield


def _alias_name(name: str) -> str:
    if name.startswith("_"):
        raise SinkError(f"The alias name {name!r} cannot be used: OpenSearch takes no name that begins with '_'.")
    return checked_name(name, "alias")


def _definition(content: Content, alias: str) -> dict[str, Any]:
    """Return the body that an index is made with; shards and replicas come from the cluster and its templates."""
    graph = {
        "name": "hnsw",
        "engine": "lucene",
        "space_type": "innerproduct",
        "parameters": {"m": 16, "ef_construction": 200},
    }
    fields = {
        "text": {"type": "text"},
        "index_version": {"type": "keyword"},
        "model_version": {"type": "keyword"},
        "embedding": {"type": "knn_vector", "dimension": content.dimension, "method": graph},
    }
    return {
        "aliases": {alias: {}},
        "settings": {"index": {"knn": True, "refresh_interval": "-1"}},
        "mappings": {
            "dynamic": "strict",
            "_meta": {_META: _FILLING},
            "_source": {"excludes": ["embedding"]},  # numbers written as text, several times as large as the graph
            "properties": fields,
        },
    }


def _content(meta: Any) -> Content | None:
    """Return what ranklift noted in an index; None for an unfinished one and for one of somebody else."""
    try:
        return Content.model_validate(meta)
    except ValidationError:
        return None


def _hits(answer: dict[str, Any]) -> Hits:
    if "error" in answer:
        raise failed_part(int(answer["status"]), answer["error"])
    return [(str(hit["_id"]), _similarity(float(hit["_score"]))) for hit in answer["hits"]["hits"]]


def _similarity(score: float) -> float:
    """Return the inner product that OpenSearch made a score of, as scores must be positive."""
    return score - 1 if score >= 1 else 1 - 1 / score


def _require_all_shards(answer: dict[str, Any]) -> None:
    failures = answer["_shards"].get("failures")
    if failures:
        raise failed_part(500, failures[0].get("reason", {}))
