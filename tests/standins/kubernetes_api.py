"""A Kubernetes API server as far as ranklift speaks to one: a real HTTP server on loopback, spoken to by real clients.

It keeps objects with resource versions and generations, merges server-side applies by field managers, streams watches
and answers errors as Status objects. A list is atomic, as KServe's schema has its containers. What a cluster does
beside that (KServe, the kubelet) is in `tests/standins/kserve_controller.py`.
"""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.standins import port_forward
from tests.standins.json_server import JsonHandler, JsonServer
from tests.standins.kubernetes_state import Cluster, Key, RefusalError, Request


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
