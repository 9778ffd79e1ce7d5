"""Any S3 object store behind one small interface: bytes and files in and out, conditional writes, clear errors.

The `minio` client does what it has a public method for. It has none for a conditional write (If-None-Match, If-Match),
on which version numbers and the champion rest: those requests go out as `signed_requests`.
"""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import chain, count
from typing import Any, NamedTuple, TypeVar
from xml.etree import ElementTree

import urllib3
from minio import Minio

from components.errors import StoreError
from components.machine.patience import further_waits, tell_wait
from components.object_store.credentials import credentials_of
from components.object_store.faults import FAULTS, DamagedBodyError, RefusedError, is_transient, pauses, sentence
from components.object_store.faults import status_and_code as status_and_code_of
from components.object_store.route import Dial, http_client
from components.object_store.settings import ObjectStoreSettings
from components.object_store.signed_requests import SignedRequests

__all__ = ["Blob", "ObjectInfo", "ObjectStore", "ObjectStoreSettings"]

_DOCUMENT_LIMIT = 64 << 20  # bytes; what is read into memory whole is JSON, and a hostile one must not fill it
_BLOCK = 1 << 18
_SLOWEST = 64 << 10  # bytes a second, after a grace of one time-out: slower than that is a stalled store
_T = TypeVar("_T")


class Blob(NamedTuple):
    """An object's bytes and its entity tag, by which a later write can be made conditional."""

    content: bytes
    etag: str


class ObjectInfo(NamedTuple):
    """What a listing says about one object."""

    key: str
    size: int  #: bytes
    etag: str
    modified: datetime


class ObjectStore:
    """A bucket. Safe to share between threads; every call is tried `settings.attempts` times, then a StoreError.

    Where `settings.patience` allows, a call to a store that is away is tried on for that long.
    """

    def __init__(self, settings: ObjectStoreSettings, dial: Dial | None = None) -> None:
        self.settings = settings
        self._http = http_client(settings, dial)
        credentials = credentials_of(settings)
        self._client = Minio(
            settings.host,
            secure=settings.secure,
            region=settings.region,
            http_client=self._http,
            credentials=credentials,
        )
        if settings.virtual_host:
            self._client.enable_virtual_style_endpoint()  # type: ignore[no-untyped-call] # minio leaves it untyped
        else:
            self._client.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call] # minio leaves it untyped
        self._requests = SignedRequests(self._client, self._http, credentials, settings)

    def close(self) -> None:
        """Close every connection; a later call opens new ones."""
        self._http.clear()

    def __repr__(self) -> str:
        return f"ObjectStore({self.settings.endpoint}, bucket={self.settings.bucket})"

    def ensure_bucket(self) -> None:
        """Make the bucket when it does not exist.

        Raises:
            StoreError: when the object store cannot be reached or does not allow it.
        """
        bucket = self.settings.bucket

        def make() -> None:
            if self._client.bucket_exists(bucket):
                return
            try:
                self._client.make_bucket(bucket)
            except FAULTS as error:
                # Another process may have made it in between.
                if status_and_code_of(error)[1] not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                    raise

        self._call(f"make the bucket {bucket}", make)

    def find(self, key: str) -> Blob | None:
        """Return an object's bytes, or None when there is no such object; for documents, not for large files."""

        def read() -> Blob:
            with closing(self._client.get_object(self.settings.bucket, key)) as response:
                buffer = io.BytesIO()
                for block in self._blocks(response, _DOCUMENT_LIMIT):
                    buffer.write(block)
                response.release_conn()
                return Blob(buffer.getvalue(), _etag(response.headers))

        return self._call(f"read {key}", lambda: _unless_missing(read))

    def get(self, key: str) -> Blob:
        """Return an object's bytes.

        Raises:
            StoreError: also when there is no such object.
        """
        blob = self.find(key)
        if blob is None:
            raise StoreError(f"There is no object {key} in bucket {self.settings.bucket} at {self.settings.endpoint}.")
        return blob

    def put(self, key: str, content: bytes) -> str:
        """Write an object whatever is there; returns its entity tag."""
        return self._call(f"write {key}", lambda: _etag(self.request("PUT", key, content).headers))

    def put_if_absent(self, key: str, content: bytes) -> str | None:
        """Write an object unless one is there: its entity tag, or None when another one is.

        An answer that gets lost makes the next attempt meet our own object: the same bytes count as ours.
        """
        return self._put_if(key, content, {"If-None-Match": "*"})

    def put_if_match(self, key: str, content: bytes, etag: str) -> str | None:
        """Replace the object that has this entity tag: its new tag, or None when it was replaced by another writer.

        `content` must be unique to this writer, for the same reason as in `put_if_absent`.
        """
        return self._put_if(key, content, {"If-Match": f'"{etag}"'})

    def stat(self, key: str) -> ObjectInfo | None:
        """Size, entity tag and time of an object, or None when there is none."""

        def read() -> ObjectInfo:
            found = self._client.stat_object(self.settings.bucket, key)
            modified = found.last_modified or datetime.now(UTC)
            return ObjectInfo(key, int(found.size or 0), str(found.etag or ""), modified)

        return self._call(f"look at {key}", lambda: _unless_missing(read))

    def list(self, prefix: str = "") -> list[ObjectInfo]:
        """Every object whose key begins with `prefix`, in key order."""

        def read() -> list[ObjectInfo]:
            found = self._client.list_objects(self.settings.bucket, prefix=prefix, recursive=True)
            try:
                return [_info(item) for item in found]
            except ValueError as error:
                raise DamagedBodyError(f"a listing that is none: {error}") from error

        return self._call(f"list {prefix or 'the bucket'}", read)

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when there is none."""
        self._call(f"remove {key}", lambda: self._client.remove_object(self.settings.bucket, key))

    def read_range(self, key: str, offset: int, length: int) -> Iterator[bytes]:
        """Yield the bytes of a part of an object, in blocks; one attempt, for a caller that can resume."""
        response = self._client.get_object(self.settings.bucket, key, offset=offset, length=length)
        with closing(response):
            yield from self._blocks(response, length)
            response.release_conn()

    def request(
        self,
        method: str,
        key: str,
        content: bytes = b"",
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """Sign and send one request about an object, once.

        Raises:
            RefusedError: when the answer is an error.
            urllib3.exceptions.HTTPError: when there is no answer.
        """
        return self._requests.send(method, key, content, headers or {}, query or {})

    def attempt(self, what: str, action: Callable[[], _T]) -> _T:
        """Run an action of several requests with this store's retries and errors."""
        return self._call(what, action)

    def _put_if(self, key: str, content: bytes, condition: dict[str, str]) -> str | None:
        def write() -> str | None:
            try:
                return _etag(self.request("PUT", key, content, condition).headers)
            except RefusedError as error:
                if error.status != 412 and error.code != "NoSuchKey":
                    raise
                return None

        etag = self._call(f"write {key}", write)
        if etag is not None:
            return etag
        found = self.find(key)
        return found.etag if found is not None and found.content == content else None

    def _blocks(self, response: Any, limit: int) -> Iterator[bytes]:
        started, received = time.monotonic(), 0
        # What is there, and not a block: a store that sends a byte now and then would keep us in one read for hours.
        while block := response.read1(_BLOCK):
            received += len(block)
            if received > limit:
                raise DamagedBodyError(f"more than {limit} bytes")
            if time.monotonic() - started > self.settings.timeout + received / _SLOWEST:
                raise DamagedBodyError(f"only {received} bytes in {time.monotonic() - started:.0f} s")
            yield block

    def _call(self, what: str, action: Callable[[], _T]) -> _T:
        waits = chain(pauses(self.settings.attempts), further_waits(self.settings.patience))
        for tries in count(1):
            try:
                return action()
            except (*FAULTS, ElementTree.ParseError, UnicodeDecodeError) as failure:
                # The client parses listings and errors without expecting that they arrive damaged.
                error = failure if isinstance(failure, FAULTS) else DamagedBodyError("what it says is not XML")
            said = sentence(error, self.settings, what, tries)
            wait = next(waits, None) if is_transient(error) else None
            if wait is None:
                raise StoreError(said)
            if tries >= self.settings.attempts:
                tell_wait(said, wait)
            time.sleep(wait)
        raise AssertionError("unreachable: the last attempt returns or raises")


def _unless_missing(read: Callable[[], _T]) -> _T | None:
    try:
        return read()
    except FAULTS as error:
        status, code = status_and_code_of(error)
        if status == 404 and code != "NoSuchBucket":
            return None
        raise


def _etag(headers: Any) -> str:
    return str(headers.get("ETag", "")).strip('"')


def _info(item: Any) -> ObjectInfo:
    modified = item.last_modified if item.last_modified is not None else datetime.now(UTC)
    return ObjectInfo(str(item.object_name), int(item.size or 0), str(item.etag or "").strip('"'), modified)
