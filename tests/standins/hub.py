"""A stand-in for the model hub on loopback, which huggingface_hub's own client speaks to over HTTP."""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the hub holds, and what it was sent."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)  #: {"datasets/owner/name": {path: content}}
    created: list[dict] = field(default_factory=list)  #: requests for a new repository
    committed: dict[str, bytes] = field(default_factory=dict)  #: files of the commits that were pushed
    tokens: set[str] = field(default_factory=set)
    refuse: int = 0  #: answer everything with this status

    def __enter__(self) -> "Hub":
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()


def _tag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:40]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        pass

    def answer(self, document, status: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        self.wfile.write(body)

    def refused(self) -> bool:
        self.hub.tokens.add(self.headers.get("Authorization", ""))
        status = self.hub.refuse  # read once: the test may change it meanwhile, and one request has one answer
        if status:
            self.answer({"error": "refused by a test"}, status)
        return bool(status)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.refused():
            return
        path = unquote(urlsplit(self.path).path).strip("/")
        if found := re.fullmatch(r"api/((?:datasets|models)/[^/]+/[^/]+)/tree/.*", path):
            files = self.hub.files.get(found[1], {})
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": _tag(content)}
                for name, content in files.items()
            ]
            self.answer(entries)
        elif found := re.fullmatch(r"api/((?:datasets|models)/[^/]+/[^/]+)(/revision/.*)?", path):
            if found[1] in self.hub.files:
                self.answer({"id": found[1].partition("/")[2], "sha": COMMIT, "siblings": []})
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
        elif found := re.fullmatch(r"(datasets/[^/]+/[^/]+)/resolve/[^/]+/(.*)", path):
            self.send_file(self.hub.files[found[1]][found[2]])
        else:
            self.answer({"error": f"no {path}"}, 404)

    def send_file(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{_tag(content)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length")
        body = self.rfile.read(int(length)) if length else self.read_chunks()
        if self.refused():
            return
        path = urlsplit(self.path).path
        if path == "/api/repos/create":
            self.hub.created.append(json.loads(body))
            self.answer({"url": f"{self.hub.endpoint}/acme/model", "id": "acme/model"})
        elif path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            named = [file["path"] for file in json.loads(body)["files"]]
            self.answer({"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in named]})
        elif "/commit/" in path:
            for line in map(json.loads, body.decode().splitlines()):
                if line["key"] == "file":
                    self.hub.committed[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self.answer({"success": True, "commitOid": COMMIT, "commitUrl": f"{self.hub.endpoint}/acme/model/commit/1"})
        else:
            self.answer({"error": f"no {path}"}, 404)

    def read_chunks(self) -> bytes:
        body = b""
        while (size := int(self.rfile.readline(), 16)) > 0:
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body
