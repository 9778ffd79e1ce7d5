"""Faults of an object store: which are worth another attempt, and the one sentence that names each."""

import random
import ssl
from collections.abc import Iterator

import urllib3
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError

from components.object_store.settings import ObjectStoreSettings

#: What a call to the object store may raise when the store, the network or the disk below it fails.
FAULTS = (MinioException, HTTPError)

_TRANSIENT_CODES = {
    "InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown", "SlowDownRead",
    "SlowDownWrite", "Throttling", "TooManyRequests", "BadDigest", "IncompleteBody", "XMinioServerNotInitialized",
    "ConditionalRequestConflict", "XAmzContentSHA256Mismatch",
}  # fmt: skip
KEY_CODES = {
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "AuthorizationHeaderMalformed",
}  # fmt: skip
_FULL_CODES = {"XMinioStorageFull", "QuotaExceeded", "EntityTooLarge", "InsufficientStorage"}
_LONGEST_PAUSE = 5.0
_PLACES = ("with RANKLIFT_S3_BUCKET", "in stages.yaml")  # of this machine's store, and of a cluster's


class DamagedBodyError(HTTPError):
    """A response that ended early, came too slowly, or does not have the bytes that it promised."""


class RouteError(HTTPError):
    """The way to the store, which is not this machine's own network, gave no connection; its message says why."""


class RefusedError(HTTPError):
    """An answer with an error status, to a request that was signed and sent here."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"HTTP {status} {code}")
        self.status, self.code, self.message = status, code, message


def pauses(attempts: int) -> Iterator[float]:
    """Seconds to wait after each failed attempt but the last: exponential, with full jitter, at most 5."""
    for attempt in range(attempts - 1):
        yield random.uniform(0.05, min(_LONGEST_PAUSE, 0.2 * 2**attempt))  # noqa: S311 - jitter, not a secret


def status_and_code(error: BaseException) -> tuple[int, str]:
    """Return the HTTP status and the S3 error code of a fault; (0, "") where there was no answer."""
    if isinstance(error, RefusedError):
        return error.status, error.code
    if isinstance(error, S3Error):
        return int(error.response.status), str(error.code or "")
    if isinstance(error, ServerError):
        return error.status_code, ""
    if isinstance(error, InvalidResponseError):
        return int(getattr(error, "_code", 0)), ""
    return 0, ""


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed when it is made again."""
    if _tls_fault(error) is not None:
        return False
    status, code = status_and_code(error)
    if status == 0:
        return isinstance(error, HTTPError)
    if code in _FULL_CODES or status == 507:
        return False
    return status >= 500 or status in {408, 429} or code in _TRANSIENT_CODES


def sentence(error: BaseException, settings: ObjectStoreSettings, what: str, tries: int | None = None) -> str:
    """Return what went wrong with which bucket of which endpoint, and the fix; never a key or a signed URL.

    Args:
        error: the fault.
        settings: of the store.
        what: what was asked for, after "could not".
        tries: how often; as often as the settings say when None.
    """
    place = f"the object store at {settings.endpoint} (bucket {settings.bucket})"
    tls = _tls_fault(error)
    if tls is not None:
        return (
            f"Could not {what}: {place} has a TLS certificate that is not trusted ({tls}); "
            "name its authority's certificate with RANKLIFT_S3_CA_FILE=/path/ca.pem."
        )
    status, code = status_and_code(error)
    if status:
        return f"Could not {what}: {place} {_refusal(status, code, settings.keys_from)}."
    often = f"{times} times" if (times := tries or settings.attempts) > 1 else "once"
    return f"Could not {what}: {place} {_unreachable(error)}, {often}."


def _refusal(status: int, code: str, keys_from: str) -> str:
    answer = f"answered HTTP {status} {code}".rstrip()
    remedies = (
        (code == "NoSuchBucket", f"create the bucket, or name another {_PLACES[bool(keys_from)]}"),
        (code == "RequestTimeTooSkewed", "this machine's clock is more than 15 minutes off: set it"),
        (code in KEY_CODES and bool(keys_from), f"{keys_from} has other keys than the store: name the right one"),
        (code in KEY_CODES, "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION"),
        (code in _FULL_CODES or status == 507, "it has no room left: free some, for example with `ranklift prune`"),
        (status in {401, 403} and bool(keys_from), f"give the keys of {keys_from} access, or name another Secret"),
        (status in {401, 403}, "give these keys read and write access to the bucket"),
        (status >= 500 or status == 429, "look at the store's own log, and run the command again"),
    )
    remedy = next((remedy for applies, remedy in remedies if applies), "check that the endpoint is an S3 endpoint")
    return f"{answer}; {remedy}"


def _unreachable(error: BaseException) -> str:
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "has a host name that does not resolve; check RANKLIFT_S3_ENDPOINT"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "accepts no connection; start it, or check RANKLIFT_S3_ENDPOINT"
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "did not answer in time; check the network, or raise RANKLIFT_S3_TIMEOUT (seconds)"
    if isinstance(error, RouteError):
        return f"cannot be reached from here ({error})"
    if isinstance(error, DamagedBodyError):
        return f"sent a damaged answer ({error})"
    return f"broke the connection ({type(error).__name__})"


def _tls_fault(error: BaseException) -> str | None:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return seen.verify_message or "verification failed"
        if seen.args and isinstance(seen.args[0], ssl.SSLCertVerificationError):
            return seen.args[0].verify_message or "verification failed"
        seen = seen.__cause__ or seen.__context__
    return None
