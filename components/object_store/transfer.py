"""Files to and from the object store: in parallel parts, resumed where they broke off, verified to the last byte.

A large upload is an S3 multipart upload. One that an earlier run left unfinished is carried on: parts whose MD5 is
already right are not sent again. A download is written in ranges, and a journal beside it tells which are complete.
"""

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from components.errors import StoreError
from components.machine.digest import check_file, file_sha256
from components.machine.parallel import in_parallel
from components.object_store.client import ObjectStore
from components.object_store.faults import DamagedBodyError, RefusedError

PART = 16 << 20  # bytes; S3 allows 5 MiB to 5 GiB for each of at most 10,000 parts
_PARTS_AT_MOST = 10_000


class Part(NamedTuple):
    """A piece of a file."""

    number: int  #: from 1, as S3 counts
    offset: int
    length: int


class UnfinishedUpload(NamedTuple):
    """A multipart upload that nobody completed."""

    key: str
    upload_id: str
    begun: datetime


class Target(NamedTuple):
    """A file that is being downloaded."""

    part_file: Path  #: its bytes
    journal: Path  #: the numbers of its complete parts, one on each line

    @classmethod
    def of(cls, path: Path) -> "Target":
        """Return the files that a download keeps beside the one it makes."""
        return cls(path.with_name(path.name + ".part"), path.with_name(path.name + ".journal"))

    def complete(self) -> set[int]:
        """Return the parts that an earlier run finished."""
        if not self.journal.is_file() or not self.part_file.is_file():
            return set()
        # The last line may have been cut when the process was killed.
        lines = self.journal.read_text(encoding="ascii", errors="replace").split("\n")[:-1]
        return {int(line) for line in lines if line.isdigit()}


def parts_of(size: int, part_size: int = PART) -> list[Part]:
    """Return the pieces of a file of `size` bytes, all but the last of one size; larger where there are too many."""
    length = max(part_size, -(-size // _PARTS_AT_MOST))
    starts = range(0, size, length)
    return [Part(number, start, min(length, size - start)) for number, start in enumerate(starts, 1)]


def upload(store: ObjectStore, key: str, path: Path, sha256: str) -> None:
    """Copy a file into the store; what is already there, whole, is not sent again.

    Raises:
        StoreError: also when the file no longer has this SHA-256.
    """
    check_file(path, sha256, str(path))
    size = path.stat().st_size
    if size <= PART:
        content = path.read_bytes()
        if not _is_there(store, key, size, hashlib.md5(content, usedforsecurity=False).hexdigest()):
            store.put(key, content)
        return
    parts = parts_of(size)
    digests = [hashlib.md5(_read(path, part), usedforsecurity=False) for part in parts]
    whole = hashlib.md5(b"".join(digest.digest() for digest in digests), usedforsecurity=False).hexdigest()
    if _is_there(store, key, size, f"{whole}-{len(parts)}"):
        return
    tags = {part.number: digest.hexdigest() for part, digest in zip(parts, digests, strict=True)}
    _upload_parts(store, key, path, parts, tags)
    found = store.stat(key)
    if found is None or found.size != size:
        raise StoreError(f"{key} was uploaded and is not complete; run the command again.")


def download(store: ObjectStore, key: str, path: Path, sha256: str, size: int) -> None:
    """Copy an object into a file, which appears under its name only when whole and verified.

    Raises:
        StoreError: when there is no such object, or it does not have this SHA-256 and size.
    """
    target = Target.of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        resumed = target.complete()
        _fetch_parts(store, key, target, size, resumed)
        if resumed and file_sha256(target.part_file) != sha256:
            # What an earlier run left is not of this object: once more, from the start.
            _fetch_parts(store, key, target, size, set())
    except OSError as error:
        raise StoreError(
            f"Could not write {target.part_file}: {error.strerror}; free some space and run the command again."
        ) from error
    try:
        check_file(target.part_file, sha256, f"{key} in bucket {store.settings.bucket}")
    except StoreError:
        target.part_file.unlink()
        raise
    finally:
        target.journal.unlink(missing_ok=True)
    target.part_file.replace(path)


def _upload_parts(store: ObjectStore, key: str, path: Path, parts: list[Part], tags: dict[int, str]) -> None:
    upload_id = _unfinished(store, key) or _begin(store, key)
    there = _parts_there(store, key, upload_id)
    missing = [part for part in parts if there.get(part.number) != tags[part.number]]

    def send(part: Part) -> None:
        query = {"partNumber": str(part.number), "uploadId": upload_id}
        store.attempt(f"upload {key}", lambda: store.request("PUT", key, _read(path, part), query=query))

    try:
        in_parallel(send, missing)
    except StoreError:
        # The same content may be published by two runs at once, and the other may have finished this upload.
        if store.stat(key) is None:
            raise
        return
    _finish(store, key, upload_id, tags)


def _begin(store: ObjectStore, key: str) -> str:
    answer = store.attempt(f"upload {key}", lambda: store.request("POST", key, query={"uploads": ""}))
    return _text(_xml(answer.data), "UploadId")


def _unfinished(store: ObjectStore, key: str) -> str | None:
    """Return the id of an upload of this key that was begun and neither completed nor aborted."""
    return next((upload.upload_id for upload in unfinished_uploads(store, key) if upload.key == key), None)


def unfinished_uploads(store: ObjectStore, prefix: str = "") -> list[UnfinishedUpload]:
    """Return uploads that were neither completed nor aborted, at most 1000 of them."""
    query = {"uploads": "", "prefix": prefix}
    answer = store.attempt("look for unfinished uploads", lambda: store.request("GET", "", query=query))
    return [
        UnfinishedUpload(_text(found, "Key"), _text(found, "UploadId"), _time(found.findtext("{*}Initiated")))
        for found in _xml(answer.data).findall("{*}Upload")
    ]


def abort_upload(store: ObjectStore, upload: UnfinishedUpload) -> None:
    """Give back the room that an unfinished upload takes."""

    def abort() -> None:
        try:
            store.request("DELETE", upload.key, query={"uploadId": upload.upload_id})
        except RefusedError as error:
            if error.code != "NoSuchUpload":
                raise

    store.attempt(f"abort the upload of {upload.key}", abort)


def _time(text: str | None) -> datetime:
    return datetime.fromisoformat(text) if text else datetime.now(UTC)


def _parts_there(store: ObjectStore, key: str, upload_id: str) -> dict[int, str]:
    found: dict[int, str] = {}
    query = {"uploadId": upload_id, "part-number-marker": "0"}
    while True:
        answer = store.attempt(f"look at the parts of {key}", lambda: store.request("GET", key, query=query))
        root = _xml(answer.data)
        for part in root.findall("{*}Part"):
            found[int(_text(part, "PartNumber"))] = _text(part, "ETag").strip('"')
        if root.findtext("{*}IsTruncated") != "true":
            return found
        query["part-number-marker"] = _text(root, "NextPartNumberMarker")


def _finish(store: ObjectStore, key: str, upload_id: str, tags: dict[int, str]) -> None:
    lines = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{tag}&quot;</ETag></Part>"
        for number, tag in sorted(tags.items())
    )
    body = f"<CompleteMultipartUpload>{lines}</CompleteMultipartUpload>".encode("ascii")

    def complete() -> None:
        try:
            root = _xml(store.request("POST", key, body, query={"uploadId": upload_id}).data)
            if root.tag.endswith("Error"):  # S3 may begin to answer 200 before it knows
                raise RefusedError(500, root.findtext("{*}Code") or "", "")
        except RefusedError as error:
            # An answer that got lost: the upload was completed, and its id is gone.
            if error.code != "NoSuchUpload" or store.stat(key) is None:
                raise

    store.attempt(f"complete the upload of {key}", complete)


def _is_there(store: ObjectStore, key: str, size: int, etag: str) -> bool:
    # Where entity tags are no MD5 (encrypted buckets) nothing ever matches, and the file is sent again.
    found = store.stat(key)
    return found is not None and (found.size, found.etag) == (size, etag)


def _fetch_parts(store: ObjectStore, key: str, target: Target, size: int, complete: set[int]) -> None:
    flags = os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fresh = 0 if complete else os.O_TRUNC
    file = os.open(target.part_file, flags | fresh | os.O_RDWR, 0o600)
    log = os.open(target.journal, flags | fresh | os.O_WRONLY | os.O_APPEND, 0o600)

    def fetch(part: Part) -> None:
        store.attempt(f"download {key}", lambda: _fetch_part(store, key, file, part))
        os.write(log, f"{part.number}\n".encode("ascii"))

    try:
        os.truncate(file, size)
        in_parallel(fetch, [part for part in parts_of(size) if part.number not in complete])
    finally:
        os.close(log)
        os.close(file)


def _fetch_part(store: ObjectStore, key: str, file: int, part: Part) -> None:
    written = 0
    for block in store.read_range(key, part.offset, part.length):
        os.pwrite(file, block, part.offset + written)
        written += len(block)
    if written != part.length:
        raise DamagedBodyError(f"{written} bytes where {part.length} were asked for")


def _read(path: Path, part: Part) -> bytes:
    with path.open("rb") as stream:
        stream.seek(part.offset)
        return stream.read(part.length)


def _xml(body: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(body)  # noqa: S314 - resolves no external entity; expat bounds the internal ones
    except ElementTree.ParseError as error:
        raise DamagedBodyError(f"not XML: {error}") from error


def _text(element: ElementTree.Element, name: str) -> str:
    found = element.findtext(f"{{*}}{name}")
    if not found:
        raise StoreError(f"The object store's answer has no {name}; check that the endpoint is an S3 endpoint.")
    return found
