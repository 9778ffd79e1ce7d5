"""What a database must be able to do so that an index version can be put into it with nobody reading a mix."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from components.errors import RankliftError
from components.search.shard import Vectors

Hits = list[tuple[str, float]]  #: passage id and similarity, best first

DEFAULT_NAME = "ranklift_passages"

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,47}")


class SinkError(RankliftError):
    """A database refused, was not reachable, or holds something unexpected."""


class Passages(NamedTuple):
    """Some passages of an index; the inner product of embeddings is their similarity."""

    ids: Sequence[str]
    vectors: Vectors
    texts: Sequence[str] | None = None


class Content(BaseModel):
    """Which index version a store in the database holds; kept in the database, beside the store."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    version: str  #: such as "V3"
    digest: str  #: of the index version: equal digests, equal content
    model_version: str
    model_digest: str
    dimension: int
    count: int  #: of passages


class Sink(Protocol):
    """One name in a database that readers search under, and the versions that lie behind it.

    Every method raises a SinkError with one sentence when the database refuses or does not answer. Readers see the
    current version alone; only `switch` changes it.
    """

    @property
    def place(self) -> str:
        """Where it is, for people: never with a password."""
        ...

    def stored(self) -> dict[str, Content]:
        """Return the versions that are whole, by their names."""
        ...

    def current(self) -> str | None:
        """Return the version that readers see; None before the first switch."""
        ...

    def begin(self, content: Content) -> None:
        """Make an empty store for a version; what an interrupted fill of it left is removed first."""
        ...

    def add(self, content: Content, passages: Passages) -> None:
        """Put passages into the store of a version."""
        ...

    def finish(self, content: Content) -> None:
        """Build what makes the search fast, and mark the store as whole."""
        ...

    def count(self, content: Content) -> int:
        """Return the number of passages in the store of a version, counted now."""
        ...

    def search(self, content: Content, queries: Vectors, depth: int) -> list[Hits]:
        """Return the nearest passages for each query, found the way that readers find them."""
        ...

    def switch(self, content: Content) -> None:
        """Have readers see this version from now on, in one step."""
        ...

    def remove(self, version: str) -> None:
        """Remove the store of a version that is not current."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


def checked_name(name: str, what: str) -> str:
    """Return the name that readers search under.

    Raises:
        SinkError: when it is not safe and short enough for every database.
    """
    if not _NAME.fullmatch(name):
        raise SinkError(
            f"The {what} name {name!r} cannot be used: at most 48 lower-case letters, digits and underscores, with no "
            f"digit first, such as {DEFAULT_NAME}."
        )
    return name


def store_name(name: str, version: str) -> str:
    """Return what the store of a version is called in the database."""
    return f"{name}_{version.lower()}"


def _said(error: Exception) -> str:
    return str(getattr(error, "message", "") or error)  # pymilvus says its own name and a number around it


@contextmanager
def told_in_one_sentence(
    place: str, doing: str, *errors: type[Exception], why: Callable[[Exception], str] = _said
) -> Iterator[None]:
    """Turn what a client library raises into a SinkError that says where, during what, and the first line of why."""
    try:
        yield
    except errors as error:
        lines = why(error).strip().splitlines() or [type(error).__name__]
        raise SinkError(f"{place} failed while {doing}: {lines[0].strip().rstrip('.')}.") from error
