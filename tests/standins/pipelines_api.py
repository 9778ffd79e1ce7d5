"""Kubeflow Pipelines' API (v2beta1) as far as ranklift speaks to it: a real HTTP server on loopback.

A test says how its runs go; every look at a run is one step further.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.standins.json_server import JsonHandler, JsonServer

PAGE = "<!doctype html><html></html>"  # KFP's UI, for every path that it does not know
Steps = list[dict[str, str]]  # one look after the other: {task: state}


class Pipelines:
    """What KFP keeps, and how its runs go."""

    def __init__(self) -> None:
        self.pipelines: dict[str, str] = {}  # id → name
        self.versions: list[dict[str, str]] = []
        self.packages: dict[str, str] = {}  # version id → YAML
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.recurring: dict[str, dict[str, Any]] = {}
        self.steps: Steps = [{"prepare": "RUNNING"}]
        self.end = "SUCCEEDED"  # the state of the run at its last step
        self.errors: dict[str, str] = {}  # task → message
        self.refusals: list[int] = []  # statuses of the next answers to looks at a run
        self.token: str | None = None  # that requests must carry
        self.seen_headers: list[dict[str, str]] = []
        self.looks = 0
        self.workflows: list[dict[str, Any]] = []  # Argo's, one look after the other; none where KFP shows none
        self.logs: dict[str, str] = {}  # pod → text
        self.is_ui = False  # whether the endpoint is that of KFP's UI, which hands most on to the API

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: bytes, kind: str) -> tuple[int, Any]:
        if path.startswith("/apis/v1beta1/runs/") and self.workflows:
            workflow = self.workflows[min(self.looks, len(self.workflows)) - 1]
            return 200, {"run": {}, "pipeline_runtime": {"workflow_manifest": json.dumps(workflow)}}
        if path.startswith("/apis/v1alpha1/runs/"):
            return 200, PAGE if self.is_ui else self._log(path.split("/")[-2])
        if path == "/k8s/pod/logs":
            return (200, self.logs[query["podname"][0]]) if self.is_ui else (404, {"message": "no such page"})
        if not path.startswith("/apis/v2beta1/"):
            return 404, {"message": "no such page"}
        name = path.removeprefix("/apis/v2beta1/")
        if method == "GET" and name.startswith("runs/"):
            return (self.refusals.pop(0), {"message": "no"}) if self.refusals else (200, self._look(name[5:]))
        return 200, self._accept(method, name, query, body, kind)

    def _accept(self, method: str, name: str, query: dict[str, list[str]], body: bytes, kind: str) -> Any:
        if name == "healthz":
            return {"multi_user": False}
        if name == "pipelines/upload_version":
            return self._upload(query, body, kind)
        parts = name.split("/")
        if parts[0] == "pipelines" and parts[2:] == ["versions"]:
            return self._page([item for item in self.versions if item["pipeline_id"] == parts[1]], query)
        if method == "GET":
            return self._list(parts[0], query)
        return self._create(parts[0], json.loads(body))

    def _list(self, what: str, query: dict[str, list[str]]) -> dict[str, Any]:
        (predicate,) = json.loads(query["filter"][0])["predicates"]
        wanted = predicate.get("stringValue") or predicate.get("string_value")
        key, kept = {
            "pipelines": ("pipeline_id", self.pipelines), "experiments": ("experiment_id", self.experiments),
        }[what]  # fmt: skip
        return {what: [{key: item, "display_name": name} for item, name in kept.items() if name == wanted]}

    def _page(self, items: list[dict[str, str]], query: dict[str, list[str]]) -> dict[str, Any]:
        """One version a page: who does not ask for the next sees one."""
        start = int(query.get("page_token", ["0"])[0] or 0)
        more = {"next_page_token": str(start + 1)} if start + 1 < len(items) else {}
        return {"pipeline_versions": items[start : start + 1], **more}

    def _create(self, what: str, item: dict[str, Any]) -> dict[str, Any]:
        number = len(self.pipelines) + len(self.experiments) + len(self.runs) + len(self.recurring)
        if what == "pipelines":
            self.pipelines[f"pipeline-{number}"] = item["display_name"]
            return {"pipeline_id": f"pipeline-{number}", "display_name": item["display_name"]}
        if what == "experiments":
            self.experiments[f"experiment-{number}"] = item["display_name"]
            return {"experiment_id": f"experiment-{number}"}
        if what == "runs":
            self.runs[f"run-{number}"] = item
            return {"run_id": f"run-{number}"}
        self.recurring[f"recurring-{number}"] = item
        return {"recurring_run_id": f"recurring-{number}"}

    def _upload(self, query: dict[str, list[str]], body: bytes, kind: str) -> dict[str, Any]:
        message = BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
        (part,) = message.get_payload()
        version = {
            "pipeline_id": query["pipelineid"][0], "pipeline_version_id": f"version-{len(self.versions)}",
            "display_name": query["name"][0],
        }  # fmt: skip
        self.packages[version["pipeline_version_id"]] = part.get_payload(decode=True).decode()
        self.versions.append(version)
        return version

    def _look(self, run_id: str) -> dict[str, Any]:
        step = min(self.looks, max(len(self.steps), len(self.workflows)) - 1)
        self.looks += 1
        seen: dict[str, str] = {}
        for tasks in self.steps[: step + 1]:
            seen |= tasks
        details = [self._task(number, *item) for number, item in enumerate(seen.items())]
        over = step >= max(len(self.steps), len(self.workflows)) - 1 if self.workflows else step == len(self.steps) - 1
        state = self.end if over else "RUNNING"
        return {"run_id": run_id, "state": state, "run_details": {"task_details": details}}

    def _log(self, pod: str) -> Any:
        # As KFP does: it answers 200 before it looks, and adds its error to what it has sent.
        return self.logs.get(pod) or {"error_message": f"Failed to read logs from pod {pod}", "error_details": "gone"}

    def _task(self, number: int, name: str, state: str) -> dict[str, Any]:
        detail = {
            "display_name": name, "state": state, "create_time": f"2026-11-24T10:00:{number:02}Z",
            "start_time": f"2026-11-24T10:01:{number:02}Z", "end_time": f"2026-11-24T10:02:{number:02}Z",
        }  # fmt: skip
        return detail | ({"error": {"message": self.errors[name]}} if name in self.errors else {})


class _Handler(JsonHandler):
    server: "_Server"

    def answer(self, body: bytes) -> None:
        pipelines, url = self.server.pipelines, urlsplit(self.path)
        pipelines.seen_headers.append(dict(self.headers))
        if pipelines.token is not None and self.headers.get("Authorization") != f"Bearer {pipelines.token}":
            self.send(401, {"message": "Request header error: there is no user identity header."})
            return
        kind = self.headers.get("Content-Type") or ""
        self.send(*pipelines.answer(self.command, url.path, parse_qs(url.query), body, kind))


class _Server(JsonServer):
    pipelines: Pipelines


@contextmanager
def serving(pipelines: Pipelines) -> Iterator[str]:
    """Serve the API on loopback; gives its URL."""
    server = _Server(_Handler)
    server.pipelines = pipelines
    with server.running() as url:
        yield url
