"""The champion: one pointer to the model version that serves, with the whole history of how it came there.

Every entry carries the SHA-256 of the one before it and of the version's manifest, which carries those of its files:
who knows the last entry's hash can tell whether anything before it was changed.
"""

from typing import ClassVar, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from components.document import Document
from components.registry_version import Sha256, VersionName, sha256_of

CHAMPION = "champion.json"
Action = Literal["promote", "rollback"]


class ChampionEntry(BaseModel):
    """One move of the champion."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(ge=0)  #: 0 for the first champion
    version: VersionName
    manifest_sha256: Sha256  #: of the version's stored manifest
    digest: str  #: the model digest
    moved: AwareDatetime
    action: Action
    reason: str
    decision_sha256: Sha256 | None = None  #: of the decision record that allowed a promotion
    pipeline_run: str | None = None
    previous: Sha256 | None  #: SHA-256 of the entry before this one; None for the first

    def sha256(self) -> str:
        """The hash by which the next entry refers to this one."""
        # Without what is None: a field that a later version adds must not change the hashes of old entries.
        return sha256_of(self.model_dump_json(exclude_none=True).encode("utf-8"))


class Champion(Document):
    """``champion.json``: the history of champions, of which the last entry is the champion."""

    noun: ClassVar[str] = "champion record"
    remedy: ClassVar[str] = "run `ranklift verify`, and restore champion.json from a copy of the bucket"

    format: Literal[1] = 1
    history: list[ChampionEntry] = Field(min_length=1)  #: oldest first

    _etag: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _linked(self) -> Self:
        previous: str | None = None
        for number, entry in enumerate(self.history):
            if entry.number != number or entry.previous != previous:
                raise ValueError(f"history entry {number} does not follow from the one before it: it was changed")
            previous = entry.sha256()
        return self

    @property
    def current(self) -> ChampionEntry:
        """The entry in force."""
        return self.history[-1]

    @property
    def version(self) -> str:
        """The version that is champion, such as "V3"."""
        return self.current.version

    @property
    def digest(self) -> str:
        """The champion's model digest."""
        return self.current.digest

    @property
    def manifest_sha256(self) -> str:
        """SHA-256 of the champion's stored version manifest."""
        return self.current.manifest_sha256

    @property
    def head(self) -> str:
        """SHA-256 of the last entry: it stands for the whole history."""
        return self.current.sha256()

    @property
    def etag(self) -> str:
        """Entity tag of the object that this was read from; a move of the champion is conditional on it."""
        return self._etag

    @classmethod
    def stored_as(cls, content: bytes, etag: str, where: str) -> "Champion":
        """The champion from its stored bytes."""
        champion = cls.parse(content, where)
        champion._etag = etag
        return champion

    def stored(self) -> bytes:
        """The bytes that are stored."""
        return (self.to_json() + "\n").encode("utf-8")

    def holds(self, head: str) -> bool:
        """Whether the history contains the entry with this hash: False means that history was rewritten since."""
        return any(entry.sha256() == head for entry in self.history)
