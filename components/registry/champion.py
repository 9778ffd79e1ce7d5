"""The champion: one pointer to the model version that serves, with the whole history of how it came there.

It names the index that the model is searched with in the same entry: the two move in one write, or neither does.

A promotion moves the pointer, and its deploy confirms it: the entry `serve` says that the champion was seen to answer.
A deploy that fails moves the pointer back with `restore`. So the champion is what serves, apart from the minutes
between a promotion and the end of its deploy; `in_service` tells the two apart.

Every entry carries the SHA-256 of the one before it and of the version's manifest, which carries those of its files:
who knows the last entry's hash can tell whether anything before it was changed.
"""

from typing import ClassVar, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from components.records.document import Document
from components.registry.files import Sha256
from components.registry.version import Kind, VersionName, sha256_of

CHAMPION = "champion.json"
LATEST = "latest"  #: in place of an index: that which a version was last named with
Action = Literal[
    "promote",  # the gate allowed it
    "serve",  # the champion, promoted before, was seen to answer; the pointer stays
    "restore",  # the deploy of the champion failed, and this version, which served before, serves again
    "rollback",  # somebody put an earlier champion into service
    "deploy",  # somebody put a version into service whose deploy had failed
    "index",  # the same model is searched with another index
]


class ChampionEntry(BaseModel):
    """One move of the champion."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(ge=0)  #: 0 for the first champion
    version: VersionName
    manifest_sha256: Sha256  #: of the version's stored manifest
    digest: str  #: the model digest
    index: VersionName | None = None  #: that this model is searched with; None for none
    index_manifest_sha256: Sha256 | None = None  #: of that index's stored manifest
    moved: AwareDatetime
    action: Action
    reason: str
    decision_sha256: Sha256 | None = None  #: of the decision record that allowed a promotion
    pipeline_run: str | None = None
    previous: Sha256 | None  #: SHA-256 of the entry before this one; None for the first

    @property
    def named(self) -> list[tuple[Kind, str, str]]:
        """Kind, version and manifest hash of everything that this names: the model, and its index where it has one."""
        model: tuple[Kind, str, str] = ("model", self.version, self.manifest_sha256)
        if self.index is None or self.index_manifest_sha256 is None:
            return [model]
        return [model, ("index", self.index, self.index_manifest_sha256)]

    @property
    def moves(self) -> bool:
        """Whether this made the version champion; else it says something about the champion that there was."""
        return self.action != "serve"

    @property
    def served(self) -> bool:
        """Whether the version, with this index, was seen to answer before this was written."""
        return self.action not in {"promote", "index"}

    @property
    def pair(self) -> str:
        """The model and its index, for people."""
        return f"{self.version} with index {self.index}" if self.index is not None else self.version

    def sha256(self) -> str:
        """Return the hash by which the next entry refers to this one."""
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
        """The entry in force: the last one, which names the champion whatever its action is."""
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
    def index(self) -> str | None:
        """The index that the champion is searched with, such as "V1"; None for none."""
        return self.current.index

    def index_of(self, version: str) -> str | None:
        """Return the index that a model version was last named with; None for none."""
        return next((entry.index for entry in reversed(self.history) if entry.version == version), None)

    @property
    def before_index(self) -> ChampionEntry | None:
        """The entry before the current one where that gave the same model another index, which nobody saw to answer."""
        return self.history[-2] if self.current.action == "index" and len(self.history) > 1 else None

    @property
    def in_service(self) -> ChampionEntry | None:
        """The latest entry whose version was seen to answer; None when nobody wrote one.

        Another version's than the champion while the champion is being deployed, and when that deploy was killed.
        """
        return next((entry for entry in reversed(self.history) if entry.served), None)

    @property
    def undeployed(self) -> list[str]:
        """Versions that were promoted, could not be put into service, and never were since; latest first."""
        served = {entry.version for entry in self.history if entry.served}
        pairs = zip(self.history, self.history[1:], strict=False)
        failed = [before.version for before, after in pairs if after.action == "restore"]
        return [version for version in dict.fromkeys(reversed(failed)) if version not in served]

    def is_followed(self, version: str) -> bool:
        """Whether another champion came after a version, which is then not put into service any more.

        One whose deploy failed is not followed by the version that is champion again meanwhile.
        """
        tried_again = self.current.action == "restore" and version in self.undeployed
        return self.version != version and not tried_again

    def continues(self, earlier: "Champion") -> bool:
        """Whether this is an earlier record to which nothing was added but that its champion serves."""
        added = self.history[len(earlier.history) :]
        return self.history[: len(earlier.history)] == earlier.history and not any(entry.moves for entry in added)

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
        """Return the champion from its stored bytes."""
        champion = cls.parse(content, where)
        champion._etag = etag
        return champion

    def stored(self) -> bytes:
        """Return the bytes that are stored."""
        return (self.to_json() + "\n").encode("utf-8")

    def holds(self, head: str) -> bool:
        """Whether the history contains the entry with this hash: False means that history was rewritten since."""
        return any(entry.sha256() == head for entry in self.history)
