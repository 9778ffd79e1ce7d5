"""Requests to the object store for which the `minio` client has no public method, signed with its own signer."""

import hashlib
from base64 import b64encode
from datetime import UTC, datetime
from urllib.parse import SplitResult, quote, urlencode, urlsplit
from xml.etree import ElementTree

import urllib3
from minio import Minio
from minio.credentials.providers import Provider
from minio.signer import sign_v4_s3

from components.object_store.faults import RefusedError
from components.object_store.settings import ObjectStoreSettings

_ERROR_BYTES = 1 << 18  # of an answer that says what is wrong


class SignedRequests:
    """Requests about the objects of one bucket."""

    def __init__(
        self, client: Minio, http: urllib3.PoolManager, provider: Provider, settings: ObjectStoreSettings
    ) -> None:
        self._client, self._http, self._provider, self._settings = client, http, provider, settings

    def send(
        self, method: str, key: str, content: bytes, headers: dict[str, str], query: dict[str, str]
    ) -> urllib3.BaseHTTPResponse:
        """Sign and send a request; see `ObjectStore.request`."""
        url = self._url(key, query)
        signed = self._signed(method, url, content, headers)
        response = self._http.request(method, url.geturl(), body=content, headers=signed, redirect=False)
        if response.status >= 300:
            raise RefusedError(response.status, *_error_in(response.data))
        return response

    def _signed(self, method: str, url: SplitResult, content: bytes, headers: dict[str, str]) -> dict[str, str]:
        now = datetime.now(UTC)
        sha256 = hashlib.sha256(content).hexdigest()
        sent: dict[str, str | list[str] | tuple[str]] = {
            "Host": url.netloc,
            "x-amz-content-sha256": sha256,
            "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
        }
        if content:
            # Not every store checks the SHA-256 that is signed; all of them check Content-MD5.
            md5 = hashlib.md5(content, usedforsecurity=False).digest()
            sent["Content-MD5"] = b64encode(md5).decode("ascii")
        credentials = self._provider.retrieve()
        if credentials.session_token:
            sent["X-Amz-Security-Token"] = credentials.session_token
        signed = sign_v4_s3(
            method=method,
            url=url,
            region=self._settings.region,
            headers={**sent, **headers},
            credentials=credentials,
            content_sha256=sha256,
            date=now,
        )
        return {name: str(value) for name, value in signed.items()}

    def _url(self, key: str, query: dict[str, str]) -> SplitResult:
        # The client knows path style, virtual-host style and the host names of AWS; only its signature is not wanted.
        url = urlsplit(self._client.get_presigned_url("PUT", self._settings.bucket, key or "x"))
        path = url.path if key else url.path.removesuffix("x")  # no key: a request about the bucket
        text = urlencode(sorted(query.items()), quote_via=quote, safe="-_.~")
        return url._replace(path=path, query=text)


def _error_in(body: bytes) -> tuple[str, str]:
    # ElementTree resolves no external entity, and a body is bounded by what the store sends for one error.
    try:
        root = ElementTree.fromstring(body[:_ERROR_BYTES])  # noqa: S314
    except ElementTree.ParseError:
        return "", ""
    return root.findtext("{*}Code") or "", root.findtext("{*}Message") or ""
