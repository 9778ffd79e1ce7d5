"""Requests to the API of a cluster: every one bounded in time, and made again where its fault may pass."""

import http.client
import json
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeVar

import urllib3

from components.kubernetes.errors import KubernetesError, fault_name, may_pass, message_in, refusal
from components.kubernetes.kinds import Kind, Manifest

_CONNECT, _READ = 5.0, 30.0  # seconds
_PAUSES = (0.2, 1.0, 3.0)  # before each further attempt
_APPLY = "application/apply-patch+yaml"
_METHODS = {"get": "GET", "list": "GET", "patch": "PATCH", "create": "POST", "delete": "DELETE"}
_T = TypeVar("_T")


class Calls:
    """The calls to one cluster, through a client of the Kubernetes library."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.host: str = client.configuration.host

    def json(
        self,
        verb: str,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        query: Any = (),
        body: Manifest | None = None,
    ) -> Manifest:
        """Call a verb on a kind of object and return what the API answers, after further attempts where they may help.

        Raises:
            KubernetesError: when the cluster refuses or does not answer.
        """
        method, path = _METHODS[verb], kind.path(namespace, name)
        return self.tried(verb, kind, namespace, name, lambda: self.body(method, path, list(query), body))

    def body(self, method: str, path: str, query: Any, body: Manifest | None) -> Manifest:
        """Send one request and return the object that it answers with."""
        response = self.send(method, path, query, body)
        with closing(response):
            return read_object(response.read())

    def send(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        body: Manifest | None = None,
        *,
        read: float = _READ,
    ) -> Any:
        """Send one request and return the open response.

        Raises:
            kubernetes.client.ApiException: when the cluster refuses.
            urllib3.exceptions.HTTPError: when it does not answer.
        """
        headers = {"Accept": "application/json"} | ({"Content-Type": _APPLY} if method == "PATCH" else {})
        return self._client.call_api(
            path, method, query_params=query, header_params=headers, body=body, auth_settings=["BearerToken"],
            _preload_content=False, _return_http_data_only=True, _request_timeout=(_CONNECT, read),
        )  # fmt: skip

    def tried(self, verb: str, kind: Kind, namespace: str | None, name: str, action: Callable[[], _T]) -> _T:
        """Run an action, again after a pause where its fault may pass.

        Raises:
            KubernetesError: with what was to be done, and why it was not.
        """
        from kubernetes.client import ApiException

        what = f"{kind.plural}/{name}" if name else kind.plural
        place = f"{what} in namespace {namespace}" if namespace else what
        for pause in (*_PAUSES, None):
            try:
                return action()
            except ApiException as failure:
                status, message = int(failure.status or 0), message_in(failure)
                if pause is None or not may_pass(status):
                    said = refusal(self.host, status, message, verb=verb, kind=kind, place=place)
                    raise KubernetesError(said, status) from None
            except (urllib3.exceptions.HTTPError, http.client.HTTPException, ValueError, OSError) as failure:
                if pause is None:
                    raise KubernetesError(
                        f"The cluster's API at {self.host} did not answer ({fault_name(failure)}) when asked to {verb} "
                        f"{place}; check that `kubectl get pods` works from here."
                    ) from None
            time.sleep(pause)
        raise AssertionError("unreachable: the last attempt returns or raises")


def read_object(text: str | bytes) -> Manifest:
    """Return an object of the API from its JSON.

    Kubernetes treats a null field as missing, and so does every reader here.
    """
    found: Manifest = json.loads(text, object_hook=_without_nulls)
    return found


def _without_nulls(item: Manifest) -> Manifest:
    return {name: value for name, value in item.items() if value is not None}
