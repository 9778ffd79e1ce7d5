"""The API of a Kubernetes cluster: every call bounded in time, every refusal one sentence with its remedy."""

import http.client
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import urllib3

from components.kubernetes.account import in_a_pod, load_account
from components.kubernetes.calls import Calls, read_object
from components.kubernetes.errors import KubernetesError, fault_name, message_in, refusal
from components.kubernetes.kinds import ACCESS_REVIEWS, POD_LOGS, PODS, SERVICE_PROXY, SERVICES, Kind, Manifest


class KubernetesApi:
    """One cluster. Calls that may succeed when they are made again are; then a `KubernetesError`."""

    def __init__(self, client: Any, inside: bool = False) -> None:
        self._client = client
        self._calls = Calls(client)
        self.host = self._calls.host
        self.inside = inside  #: whether this process runs in a pod of this cluster, and so reaches its Services

    @classmethod
    def connect(cls, context: str | None = None) -> Self:
        """Return the cluster of a context, as `kubectl --context` means it; without one, the cluster that this process
        runs in, else kubectl's.

        Raises:
            KubernetesError: when there is none.
        """
        try:
            from kubernetes import client, config
        except ImportError as error:
            raise KubernetesError(
                "The Kubernetes client is not installed; `pip install 'ranklift[deploy]'` adds it."
            ) from error

        configuration = client.Configuration()
        configuration.retries = urllib3.Retry(0, redirect=0)
        inside = context is None and in_a_pod()
        try:
            if inside:
                load_account(configuration)
            else:
                place = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
                config.load_kube_config(config_file=place, context=context, client_configuration=configuration)
        except (config.ConfigException, OSError) as error:
            raise KubernetesError(
                f"No Kubernetes cluster is configured{f' as context {context}' if context else ''} ({error}); run this "
                "in a pod, or where `kubectl get pods` works (KUBECONFIG names its configuration)."
            ) from error
        return cls(client.ApiClient(configuration), inside)

    def get(self, kind: Kind, namespace: str | None, name: str) -> Manifest:
        """One object.

        Raises:
            KubernetesError: also when there is none; its status is 404.
        """
        return self._calls.json("get", kind, namespace, name)

    def find(self, kind: Kind, namespace: str | None, name: str) -> Manifest | None:
        """One object, or None when there is none."""
        try:
            return self.get(kind, namespace, name)
        except KubernetesError as error:
            if error.status == 404:
                return None
            raise

    def select(self, kind: Kind, namespace: str | None = None, labels: str = "", *, fields: str = "") -> list[Manifest]:
        """All objects of a kind, of one namespace or of every one, that have these labels and fields."""
        query = [(name, value) for name, value in (("labelSelector", labels), ("fieldSelector", fields)) if value]
        found: list[Manifest] = self._calls.json("list", kind, namespace, "", query=query).get("items", [])
        return found

    def apply(self, kind: Kind, body: Manifest, manager: str) -> Manifest:
        """Server-side apply; takes fields over from other managers, and fails with status 409 when the object changed
        since the ``resourceVersion`` that the body names."""
        query = [("fieldManager", manager), ("force", "true")]
        meta = body["metadata"]
        return self._calls.json("patch", kind, meta["namespace"], meta["name"], query=query, body=body)

    def create(self, kind: Kind, body: Manifest) -> Manifest:
        """Make an object.

        Raises:
            KubernetesError: with status 409 when there is one of that name, which an attempt of this very call may have
                made whose answer got lost.
        """
        return self._calls.json("create", kind, body["metadata"]["namespace"], "", body=body)

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Remove an object, and then what it owns; nothing happens when there is none."""
        try:
            self._calls.json("delete", kind, namespace, name, query=[("propagationPolicy", "Background")])
        except KubernetesError as error:
            if error.status != 404:
                raise

    def watch(self, kind: Kind, namespace: str, name: str, resource_version: str, seconds: int) -> Iterator[Manifest]:
        """Yield the events about one object since a version of it, for at most so many seconds; may end before.

        Raises:
            KubernetesError: with status 410 when the version is too old to watch from: get the object again.
        """
        query = [
            ("watch", "true"), ("fieldSelector", f"metadata.name={name}"), ("resourceVersion", resource_version),
            ("timeoutSeconds", str(seconds)),
        ]  # fmt: skip

        def start() -> Any:
            return self._calls.send("GET", kind.path(namespace), query, read=seconds + 5.0)

        response = self._calls.tried("watch", kind, namespace, name, start)
        with closing(response):
            try:
                for line in _lines(response):
                    yield self._event(line, kind, name)
            except (urllib3.exceptions.HTTPError, http.client.HTTPException, ValueError, OSError):
                return  # cut off in the middle: who watches looks at the object and watches again

    def log_tail(self, namespace: str, pod: str, container: str, previous: bool, lines: int = 20) -> str:
        """Return the last lines of a container's log; of the run before its last restart when `previous`."""
        query = [("container", container), ("tailLines", str(lines)), ("previous", str(previous).lower())]
        path = f"{PODS.path(namespace, pod)}/log"
        response = self._calls.tried("get", POD_LOGS, namespace, pod, lambda: self._calls.send("GET", path, query))
        with closing(response):
            return bytes(response.read(64 << 10)).decode("utf-8", "replace").strip()

    def post_to_service(
        self, namespace: str, service: str, path: str, document: Mapping[str, Any], timeout: float
    ) -> Manifest:
        """Send a JSON document to a Service's port 80 through the API server, which reaches it from anywhere; once.

        Raises:
            KubernetesError: with the status and what was said.
        """
        from kubernetes.client import ApiException

        place = f"{SERVICES.path(namespace, f'http:{service}:80')}/proxy{path}"
        try:
            response = self._calls.send("POST", place, [], dict(document), read=timeout)
            with closing(response):
                answer = json.loads(response.read(1 << 20))
        except ApiException as failure:
            status, message = int(failure.status or 0), message_in(failure)
            if status == 403:
                raise KubernetesError(
                    refusal(self.host, status, message, verb="create", kind=SERVICE_PROXY, place=service), 403
                ) from None
            raise KubernetesError(f"Service {service} answered {status}: {message}.", status) from None
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, ValueError, OSError) as failure:
            raise KubernetesError(f"Service {service} did not answer ({fault_name(failure)}).") from None
        if not isinstance(answer, dict):
            raise KubernetesError(f"Service {service} answered something that is not a JSON object.")
        return answer

    def version(self) -> str:
        """Return the cluster's version, such as "1.34"; "unknown" where it tells none."""
        found = self._calls.tried(
            "get", Kind("", "", "version"), None, "", lambda: self._calls.body("GET", "/version", [], None)
        )
        major, minor = found.get("major"), str(found.get("minor", "")).rstrip("+")
        return f"{major}.{minor}" if major and minor else "unknown"

    def is_allowed(self, account: tuple[str, str], verb: str, kind: Kind, namespace: str, name: str) -> bool:
        """Whether a ServiceAccount, (namespace, name), may do something with an object."""
        user = f"system:serviceaccount:{account[0]}:{account[1]}"
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{account[0]}", "system:authenticated"]
        resource, _, part = kind.plural.partition("/")
        attributes = {"namespace": namespace, "verb": verb, "group": kind.group, "resource": resource, "name": name}
        attributes |= {"subresource": part} if part else {}
        spec = {"user": user, "groups": groups, "resourceAttributes": attributes}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        found = self._calls.json("create", ACCESS_REVIEWS, None, "", body=body)
        return bool(found.get("status", {}).get("allowed"))

    def signed(self, path: str) -> tuple[Any, str, dict[str, str]]:
        """For a client of websockets: the configuration, and URL and headers with which this one asks for a path."""
        headers: dict[str, str] = {}
        self._client.update_params_for_auth(headers, [], ["BearerToken"])
        return self._client.configuration, f"{self.host}{path}", headers

    @staticmethod
    def _event(line: str, kind: Kind, name: str) -> Manifest:
        event = read_object(line)
        if event["type"] == "ERROR":
            fault = event["object"]
            status = int(fault.get("code", 500))
            raise KubernetesError(f"Watching {kind.plural}/{name} ended: {fault.get('message', status)}.", status)
        return event


def _lines(response: Any) -> Iterator[str]:
    rest = b""
    for block in response.stream(amt=None, decode_content=False):
        *whole, rest = (rest + block).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in whole if line)
