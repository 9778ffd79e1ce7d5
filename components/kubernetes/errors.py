"""What a cluster refuses, as one sentence with its remedy."""

import json
from typing import Any

from components.errors import RankliftError
from components.kubernetes.kinds import Kind

_ADMISSION = ("admission webhook", "AdmissionPolicy")  # refused for what was asked, not for who asked


class KubernetesError(RankliftError):
    """The cluster refused or could not be reached; `status` is the HTTP status, 0 where there was no answer."""

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status

    @property
    def may_pass(self) -> bool:
        """Whether the same call may succeed a little later."""
        return may_pass(self.status)


def may_pass(status: int) -> bool:
    """Return whether a call that ended with this status may succeed when it is retried; 0 stands for no answer."""
    return status in {0, 429} or status >= 500


def refusal(host: str, status: int, message: str, *, verb: str, kind: Kind, place: str) -> str:
    """Return why the cluster refused a call, and what to do about it, as one sentence."""
    if status == 403 and not any(word in message for word in _ADMISSION):
        return f"The cluster does not allow this account to {verb} {place}; its Role needs the rule {kind.rule(verb)}."
    if status == 401:
        return (
            f"The cluster's API at {host} does not accept your login (401); log in again until "
            "`kubectl auth whoami` answers."
        )
    if status == 404:
        return f"There is no {place} in the cluster at {host} ({message or 'not found'})."
    return f"The cluster at {host} answered {status} when asked to {verb} {place}: {message}."


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


def message_in(failure: Any) -> str:
    """Return what the API says in the exception of the Kubernetes client."""
    return message_of(failure.body, failure.reason)


def fault_name(failure: BaseException) -> str:
    """Return the kind of fault that kept an answer away, without addresses and pools."""
    reason = getattr(failure, "reason", None)
    return type(reason or failure).__name__
