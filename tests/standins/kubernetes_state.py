"""The objects of a Kubernetes cluster: resource versions, applies by field managers, and what goes wrong."""

import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Key = tuple[str, str, str]  # plural, namespace, name


class Request(NamedTuple):
    """What a client asked for."""

    verb: str  # get, list, watch, patch, create or delete
    resource: str  # inferenceservices, pods, pods/log, …
    namespace: str
    name: str
    query: dict[str, str]


class RefusalError(Exception):
    """An answer that is no success."""

    def __init__(self, code: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.reason = code, message, reason


class Cluster:
    """The state of the cluster, and what goes wrong in it."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.objects: dict[Key, dict[str, Any]] = {}
        self.events: list[tuple[int, str, Key, dict[str, Any]]] = []
        self.logs: dict[tuple[str, str], str] = {}  # (pod, container) → text
        self.forwards: dict[tuple[str, str, int], tuple[str, int] | str] = {}  # (namespace, pod, port) → address, fault
        self.requests: list[Request] = []
        self.denied: set[tuple[str, str]] = set()  # (verb, resource)
        self.forbidden: set[tuple[str, str]] = set()  # to the pipeline: (verb, resource)
        self.granted: set[str] = set()  # verbs that the pipeline has on everything
        self.version = {"major": "1", "minor": "34"}
        self.oldest_watchable = 0
        self.on_apply: Callable[[Key, dict[str, Any]], None] = lambda key, item: None
        self.on_create: Callable[[Key, dict[str, Any]], None] = lambda key, item: None
        self.on_delete: Callable[[Key], None] = lambda key: None
        self.unknown: set[str] = set()  # plurals that no definition is installed for
        self.before_answer: Callable[[Request], None] = lambda request: None  # raises a RefusalError, or waits
        self.network: Callable[[str, str, bytes], tuple[int, dict[str, Any]]] = lambda host, path, body: (502, {})
        self._version = 100

    def may(self, asked: dict[str, Any]) -> bool:
        """Whether the pipeline may do something, as the Roles of manifests/base say it."""
        verb, resource = asked["resourceAttributes"]["verb"], asked["resourceAttributes"]["resource"]
        allowed = {"inferenceservices": {"get", "patch", "watch"}, "pods": {"get", "list"}}.get(resource, set())
        return (verb, resource) not in self.forbidden and verb in allowed | self.granted

    def put(self, plural: str, item: dict[str, Any]) -> dict[str, Any]:
        """Create an object or replace it, as a controller does."""
        meta = item.setdefault("metadata", {})
        key = (plural, meta.get("namespace", ""), meta["name"])
        with self.changed:
            before = self.objects.get(key)
            self._version += 1
            meta["resourceVersion"] = str(self._version)
            old = before["metadata"]["generation"] if before else 0
            meta["generation"] = old + (before is None or before.get("spec") != item.get("spec"))
            self.objects[key] = copy.deepcopy(item)
            self._tell("MODIFIED" if before else "ADDED", key, item)
        return item

    def get(self, plural: str, namespace: str, name: str) -> dict[str, Any]:
        with self.changed:
            try:
                return copy.deepcopy(self.objects[plural, namespace, name])
            except KeyError:
                groups = {"inferenceservices": ".serving.kserve.io", "trainjobs": ".trainer.kubeflow.org"}
                group = groups.get(plural, "")
                raise RefusalError(404, f'{plural}{group} "{name}" not found', "NotFound") from None

    def delete(self, plural: str, namespace: str, name: str) -> None:
        with self.changed:
            self._version += 1
            self._tell("DELETED", (plural, namespace, name), self.objects.pop((plural, namespace, name)))

    def create(self, plural: str, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        if plural == "subjectaccessreviews":
            return {**body, "status": {"allowed": self.may(body["spec"])}}
        name = body["metadata"]["name"]
        with self.changed:
            if (plural, namespace, name) in self.objects:
                raise RefusalError(409, f'{plural} "{name}" already exists', "AlreadyExists")
            made = self.put(plural, copy.deepcopy(body))
        self.on_create((plural, namespace, name), copy.deepcopy(made))
        return made

    def set_status(self, plural: str, namespace: str, name: str, status: dict[str, Any]) -> None:
        """Write an object's status, whatever else it is at that moment."""
        with self.changed:
            item = self.get(plural, namespace, name)
            item["status"] = status
            self.put(plural, item)

    def select(self, plural: str, namespace: str, labels: str = "", fields: str = "") -> list[dict[str, Any]]:
        wanted = dict(pair.split("=", 1) for pair in labels.split(",") if pair)
        asked = dict(pair.split("=", 1) for pair in fields.split(",") if pair)
        with self.changed:
            return [
                copy.deepcopy(item)
                for (kind, place, _), item in sorted(self.objects.items())
                if kind == plural and (not namespace or place == namespace)
                and wanted.items() <= ((item.get("metadata") or {}).get("labels") or {}).items()
                and asked.items() <= {".".join(path): str(value) for path, value in _leaves(item)}.items()
            ]  # fmt: skip

    def apply(self, plural: str, namespace: str, name: str, body: dict[str, Any], manager: str) -> dict[str, Any]:
        """Server-side apply with force."""
        with self.changed:
            item = self.get(plural, namespace, name)
            meta = body["metadata"]
            expected = meta.pop("resourceVersion", None)
            if expected not in {None, item["metadata"]["resourceVersion"]}:
                message = "the object has been modified; please apply your changes to the latest version"
                raise RefusalError(409, f'Operation cannot be fulfilled on {plural} "{name}": {message}', "Conflict")
            owners: dict[str, list[list[str]]] = item["metadata"].setdefault("managedFields", {})
            fields = {path: value for path, value in _leaves(body) if path[0] in {"spec", "metadata"}}
            fields = {path: value for path, value in fields.items() if path[1] not in {"name", "namespace"}}
            for path in map(tuple, owners.get(manager, [])):
                if path not in fields and not any(
                    list(path) in owned for who, owned in owners.items() if who != manager
                ):
                    _remove(item, path)
            for path, value in fields.items():
                _set(item, path, value)
            for other, owned in owners.items():
                owners[other] = [path for path in owned if tuple(path) not in fields]
            owners[manager] = [list(path) for path in fields]
            before = copy.deepcopy(self.objects[plural, namespace, name])
            before["metadata"].pop("managedFields", None)
            after = copy.deepcopy(item)
            after["metadata"].pop("managedFields")
            if before != after:
                self.put(plural, item)
                self.on_apply((plural, namespace, name), copy.deepcopy(item))
            return self.get(plural, namespace, name)

    def _tell(self, kind: str, key: Key, item: dict[str, Any]) -> None:
        self.events.append((self._version, kind, key, copy.deepcopy(item)))
        self.changed.notify_all()


def _leaves(value: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, item in value.items():
        if isinstance(item, dict) and item:
            yield from _leaves(item, (*path, name))
        else:
            yield (*path, name), item


def _set(item: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        item = item.setdefault(name, {})
    item[path[-1]] = value


def _remove(item: dict[str, Any], path: tuple[str, ...]) -> None:
    for name in path[:-1]:
        item = item.get(name, {})
    item.pop(path[-1], None)
