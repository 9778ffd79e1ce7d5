"""The API of a Kubernetes cluster: every call bounded in time, every refusal one sentence with its remedy."""

import http.client
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Self, TypeVar

import urllib3

from components.errors import RankliftError
from components.kubernetes.account import in_a_pod, load_account
from components.kubernetes.kinds import (
    ACCESS_REVIEWS,
    INFERENCE_SERVICES,
    POD_LOGS,
    PODS,
    SERVICE_PROXY,
    SERVICES,
    TRAIN_JOBS,
    Kind,
    Manifest,
)

__all__ = [
    "INFERENCE_SERVICES", "PODS", "POD_LOGS", "SERVICES", "SERVICE_PROXY", "TRAIN_JOBS", "Kind", "KubernetesApi",
    "KubernetesError", "Manifest", "in_a_pod", "message_of",
]  # fmt: skip

_CONNECT, _READ = 5.0, 30.0  # seconds
_PAUSES = (0.2, 1.0, 3.0)  # before each further attempt
_APPLY = "application/apply-patch+yaml"
_ADMISSION = ("admission webhook", "AdmissionPolicy")  # refused for what was asked, not for who asked
_METHODS = {"get": "GET", "list": "GET", "patch": "PATCH", "create": "POST", "delete": "DELETE"}
_T = TypeVar("_T")


class KubernetesError(RankliftError):
    """The cluster refused or could not be reached; `status` is the HTTP status, 0 where there was no answer."""

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status

    @property
    def may_pass(self) -> bool:
        """Whether the same call may succeed a little later."""
        return _may_pass(self.status)


class KubernetesApi:
    """One cluster. Calls that may succeed when they are made again are; then a `KubernetesError`."""

    def __init__(self, client: Any, inside: bool = False) -> None:
        self._client = client
        self.host: str = client.configuration.host
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
        return self._json("get", kind, namespace, name)

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
        found: list[Manifest] = self._json("list", kind, namespace, "", query=query).get("items", [])
        return found

    def apply(self, kind: Kind, body: Manifest, manager: str) -> Manifest:
        """Server-side apply; takes fields over from other managers, and fails with status 409 when the object changed
        since the ``resourceVersion`` that the body names."""
        query = [("fieldManager", manager), ("force", "true")]
        meta = body["metadata"]
        return self._json("patch", kind, meta["namespace"], meta["name"], query=query, body=body)

    def create(self, kind: Kind, body: Manifest) -> Manifest:
        """Make an object.

        Raises:
            KubernetesError: with status 409 when there is one of that name, which an attempt of this very call may have
                made whose answer got lost.
        """
        return self._json("create", kind, body["metadata"]["namespace"], "", body=body)

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Remove an object, and then what it owns; nothing happens when there is none."""
        try:
            self._json("delete", kind, namespace, name, query=[("propagationPolicy", "Background")])
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
            return self._send("GET", kind.path(namespace), query, read=seconds + 5.0)

        response = self._tried("watch", kind, namespace, name, start)
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
        response = self._tried("get", POD_LOGS, namespace, pod, lambda: self._send("GET", path, query))
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
            response = self._send("POST", place, [], dict(document), read=timeout)
            with closing(response):
                answer = json.loads(response.read(1 << 20))
        except ApiException as failure:
            status, message = int(failure.status or 0), _message(failure)
            if status == 403:
                raise KubernetesError(self._refusal(status, message, "create", SERVICE_PROXY, service), 403) from None
            raise KubernetesError(f"Service {service} answered {status}: {message}.", status) from None
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, ValueError, OSError) as failure:
            raise KubernetesError(f"Service {service} did not answer ({_short(failure)}).") from None
        if not isinstance(answer, dict):
            raise KubernetesError(f"Service {service} answered something that is not a JSON object.")
        return answer

    def version(self) -> str:
        """Return the cluster's version, such as "1.34"; "unknown" where it tells none."""
        found = self._tried("get", Kind("", "", "version"), None, "", lambda: self._body("GET", "/version", [], None))
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
        found = self._json("create", ACCESS_REVIEWS, None, "", body=body)
        return bool(found.get("status", {}).get("allowed"))

    def signed(self, path: str) -> tuple[Any, str, dict[str, str]]:
        """For a client of websockets: the configuration, and URL and headers with which this one asks for a path."""
        headers: dict[str, str] = {}
        self._client.update_params_for_auth(headers, [], ["BearerToken"])
        return self._client.configuration, f"{self.host}{path}", headers

    def _json(
        self,
        verb: str,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        query: Any = (),
        body: Manifest | None = None,
    ) -> Manifest:
        method, path = _METHODS[verb], kind.path(namespace, name)
        return self._tried(verb, kind, namespace, name, lambda: self._body(method, path, list(query), body))

    def _body(self, method: str, path: str, query: Any, body: Manifest | None) -> Manifest:
        response = self._send(method, path, query, body)
        with closing(response):
            # Kubernetes treats a null field as missing, and so does every reader here.
            found: Manifest = json.loads(response.read(), object_hook=_without_nulls)
            return found

    def _send(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        body: Manifest | None = None,
        *,
        read: float = _READ,
    ) -> Any:
        headers = {"Accept": "application/json"} | ({"Content-Type": _APPLY} if method == "PATCH" else {})
        return self._client.call_api(
            path, method, query_params=query, header_params=headers, body=body, auth_settings=["BearerToken"],
            _preload_content=False, _return_http_data_only=True, _request_timeout=(_CONNECT, read),
        )  # fmt: skip

    def _tried(self, verb: str, kind: Kind, namespace: str | None, name: str, action: Callable[[], _T]) -> _T:
        from kubernetes.client import ApiException

        what = f"{kind.plural}/{name}" if name else kind.plural
        place = f"{what} in namespace {namespace}" if namespace else what
        for pause in (*_PAUSES, None):
            try:
                return action()
            except ApiException as failure:
                status, message = int(failure.status or 0), _message(failure)
                if pause is None or not _may_pass(status):
                    raise KubernetesError(self._refusal(status, message, verb, kind, place), status) from None
            except (urllib3.exceptions.HTTPError, http.client.HTTPException, ValueError, OSError) as failure:
                if pause is None:
                    raise KubernetesError(
                        f"The cluster's API at {self.host} did not answer ({_short(failure)}) when asked to {verb} "
                        f"{place}; check that `kubectl get pods` works from here."
                    ) from None
            time.sleep(pause)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _refusal(self, status: int, message: str, verb: str, kind: Kind, place: str) -> str:
        if status == 403 and not any(word in message for word in _ADMISSION):
            return (
                f"The cluster does not allow this account to {verb} {place}; its Role needs the rule {kind.rule(verb)}."
            )
        if status == 401:
            return (
                f"The cluster's API at {self.host} does not accept your login (401); log in again until "
                "`kubectl auth whoami` answers."
            )
        if status == 404:
            return f"There is no {place} in the cluster at {self.host} ({message or 'not found'})."
        return f"The cluster at {self.host} answered {status} when asked to {verb} {place}: {message}."

    @staticmethod
    def _event(line: str, kind: Kind, name: str) -> Manifest:
        event: Manifest = json.loads(line, object_hook=_without_nulls)
        if event["type"] == "ERROR":
            fault = event["object"]
            status = int(fault.get("code", 500))
            raise KubernetesError(f"Watching {kind.plural}/{name} ended: {fault.get('message', status)}.", status)
        return event


def _may_pass(status: int) -> bool:
    return status in {0, 429} or status >= 500


def _without_nulls(item: Manifest) -> Manifest:
    return {name: value for name, value in item.items() if value is not None}


def _lines(response: Any) -> Iterator[str]:
    rest = b""
    for block in response.stream(amt=None, decode_content=False):
        *whole, rest = (rest + block).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in whole if line)


def _message(failure: Any) -> str:
    return message_of(failure.body, failure.reason)


def message_of(body: bytes | str | None, reason: object = None) -> str:
    """Return what the API says is wrong: a Status object's message, or the start of whatever else came."""
    if body is None:
        return str(reason or "no reason")
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
    try:
        message = json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        message = text[:200]
    return str(message).strip().rstrip(".")


def _short(failure: BaseException) -> str:
    reason = getattr(failure, "reason", None)
    return type(reason or failure).__name__
