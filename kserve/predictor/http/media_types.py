"""Media types of request bodies: parsed, never compared as they were written."""

import re
from functools import lru_cache
from typing import NamedTuple

JSON = b"application/json"
CLOUD_EVENT = b"application/cloudevents+json"
BINARY = b"application/octet-stream"

_TYPE = re.compile(rb"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
_CHARSET = re.compile(rb';\s*charset\s*=\s*"?([^\s;"]+)', re.IGNORECASE)
_UTF8 = (b"utf-8", b"utf8", b"us-ascii", b"ascii")


class MediaType(NamedTuple):
    """The type in lower case without its parameters, empty where none was sent, and whether its text is UTF-8."""

    name: bytes
    is_utf8: bool

    @property
    def is_json(self) -> bool:
        """Whether a body of this type is read as JSON; so is a body that says nothing of its type."""
        is_json = self.name in {b"", JSON} or (self.name.startswith(b"application/") and self.name.endswith(b"+json"))
        return is_json and self.is_utf8

    @property
    def is_binary(self) -> bool:
        """Whether a body of this type may be tensors after a JSON header."""
        return self.name in {b"", BINARY}

    @property
    def canonical(self) -> bytes:
        """The spelling that libraries compare with: every JSON but a CloudEvent is ``application/json``."""
        if not self.is_json:
            return self.name
        return CLOUD_EVENT if self.name == CLOUD_EVENT else JSON


@lru_cache(maxsize=32)
def media_type(header: bytes) -> MediaType:
    """Parse the value of a Content-Type header; what is no media type has a name that nothing accepts."""
    name = header.partition(b";")[0].strip().lower()
    if name and not _TYPE.fullmatch(name):
        return MediaType(b"invalid", False)
    charset = _CHARSET.search(header)
    return MediaType(name, charset is None or charset[1].lower() in _UTF8)
