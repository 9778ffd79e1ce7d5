"""A Kubernetes API server as far as ranklift speaks to one: a real HTTP server on loopback, spoken to by real clients.

It keeps objects with resource versions and generations, merges server-side applies by field managers, streams watches
and answers errors as Status objects. A list is atomic, as KServe's schema has its containers. What a cluster does
beside that (KServe, the kubelet) is in `tests/standins/kserve_controller.py`.
"""

import copy
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from tests.standins import port_forward
from tests.standins.json_server import JsonHandler, JsonServer

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


class _Handler(JsonHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def answer(self, body: bytes) -> None:
        if self.path.startswith("http://"):  # as a proxy: the cluster's own network
            url = urlsplit(self.path)
            self.send(*self.server.cluster.network(url.hostname or "", url.path, body))
            return
        try:
            self._serve(body)
        except RefusalError as refusal:
            status = {"kind": "Status", "status": "Failure", "code": refusal.code, "message": refusal.message,
                      "reason": refusal.reason}  # fmt: skip
            self.send(refusal.code, status)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _serve(self, body: bytes) -> None:
        cluster, url = self.server.cluster, urlsplit(self.path)
        if url.path == "/version":
            self.send(200, cluster.version)
            return
        request = _parse(self.command, url.path, dict(parse_qsl(url.query)))
        cluster.requests.append(request)
        if (request.verb, request.resource) in cluster.denied:
            who = "system:serviceaccount:kubeflow:pipeline-runner"
            raise RefusalError(403, f'{request.resource} is forbidden: User "{who}" cannot {request.verb}', "Forbidden")
        cluster.before_answer(request)
        plural, _, part = request.resource.partition("/")
        if plural in cluster.unknown:
            raise RefusalError(404, "the server could not find the requested resource", "NotFound")
        if request.resource.startswith("services/proxy"):
            service = request.name.split(":")[1]
            path = url.path.partition("/proxy")[2]
            self.send(*cluster.network(f"{service}.{request.namespace}.svc.cluster.local", path, body))
        elif part == "portforward":
            port = int(request.query["ports"])
            target = cluster.forwards.get((request.namespace, request.name, port), "connection refused")
            port_forward.serve(self, port, target)
        elif part == "log":
            lines = cluster.logs.get((request.name, request.query.get("container", "")), "").splitlines(keepends=True)
            self.send(200, "".join(lines[-int(request.query["tailLines"]) :]))
        elif request.verb == "watch":
            self._watch(request)
        else:
            self.send(*self._object(request, plural, body))

    def _object(self, request: Request, plural: str, body: bytes) -> tuple[int, dict[str, Any]]:
        cluster = self.server.cluster
        if request.verb == "patch":
            assert self.headers["Content-Type"] == "application/apply-patch+yaml"
            assert request.query["force"] == "true"
            manager = request.query["fieldManager"]
            return 200, cluster.apply(plural, request.namespace, request.name, json.loads(body), manager)
        if request.verb == "create":
            return 201, cluster.create(plural, request.namespace, json.loads(body))
        if request.verb == "get":
            return 200, cluster.get(plural, request.namespace, request.name)
        if request.verb == "delete":
            cluster.get(plural, request.namespace, request.name)
            cluster.delete(plural, request.namespace, request.name)
            cluster.on_delete((plural, request.namespace, request.name))
            return 200, {"kind": "Status", "status": "Success"}
        items = cluster.select(
            plural, request.namespace, request.query.get("labelSelector", ""), request.query.get("fieldSelector", "")
        )
        return 200, {"kind": "List", "items": items}

    def _watch(self, request: Request) -> None:
        cluster, since = self.server.cluster, int(request.query["resourceVersion"])
        name = request.query["fieldSelector"].removeprefix("metadata.name=")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if since < cluster.oldest_watchable:
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": f"too old resource version: {since}"}
            self._chunk({"type": "ERROR", "object": gone})
        else:
            for event in _events(cluster, (request.resource, request.namespace, name), since, request.query):
                self._chunk(event)
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, event: dict[str, Any]) -> None:
        line = json.dumps(event).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.flush()


class _Server(JsonServer):
    cluster: Cluster


@contextmanager
def serving(cluster: Cluster, folder: Path, authority: Path | None = None) -> Iterator[dict[str, str]]:
    """Serve the API on loopback, over TLS with the certificate of an authority; gives the environment in which clients
    find it, and reach the cluster's network."""
    server = _Server(_Handler)
    server.cluster = cluster
    trust = {}
    if authority is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority / "server.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        trust = {"certificate-authority": str(authority / "ca.pem")}
    with server.running() as address:
        url = address.replace("http", "https") if trust else address
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": url, **trust}}],
            "users": [{"name": "test", "user": {"token": "token"}}],
            "contexts": [{"name": name, "context": {"cluster": "test", "user": "test"}} for name in ("test", "other")],
        }  # fmt: skip
        (folder / "kubeconfig").write_text(json.dumps(config))
        yield {"KUBECONFIG": str(folder / "kubeconfig"), "http_proxy": url, "no_proxy": "127.0.0.1,localhost"}


def _parse(method: str, path: str, query: dict[str, str]) -> Request:
    parts = path.strip("/").split("/")[3 if path.startswith("/apis/") else 2 :]
    namespace = ""
    if len(parts) > 2 and parts[0] == "namespaces":
        namespace, parts = parts[1], parts[2:]
    plural, name, *part = [*parts, ""] if len(parts) == 1 else parts
    verb = (
        "create"
        if method == "POST"
        else "delete"
        if method == "DELETE"
        else "patch"
        if method == "PATCH"
        else "watch"
        if "watch" in query
        else "get"
        if name
        else "list"
    )
    return Request(verb, "/".join([plural, *part]), namespace, name, query)


def _events(cluster: Cluster, key: Key, since: int, query: dict[str, str]) -> Iterator[dict[str, Any]]:
    import time

    end, sent = time.monotonic() + int(query["timeoutSeconds"]), 0
    while True:
        with cluster.changed:
            fresh = cluster.events[sent:]
            if not fresh:
                if (left := end - time.monotonic()) <= 0:
                    return
                cluster.changed.wait(left)
                continue
        sent += len(fresh)
        for version, kind, which, item in fresh:
            if version > since and which == key:
                yield {"type": kind, "object": item}


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
