"""What is not needed any more leaves the registry, without a race against those who publish and promote."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Literal, get_args

from pydantic import AwareDatetime

from components.errors import StoreError
from components.object_store.transfer import abort_upload, unfinished_uploads
from components.records.document import Document
from components.registry.files import CLAIM, TOMBSTONE, VERSION
from components.registry.registry import Registry
from components.registry.version import Kind, VersionManifest, folder_of, key_of

_NOTHING = "nothing"  # below no number: a key that never is, to ask whether the keys may delete
UNFINISHED_AFTER = timedelta(days=1)  # nothing is published for longer; what is older was interrupted


class PruneReport(Document):
    """What `prune` removed."""

    noun: ClassVar[str] = "report of a pruning"

    removed: list[str]  #: such as "models/V3"
    unfinished: list[str]  #: numbers and uploads that interrupted runs left
    kept: dict[str, str]  #: older versions that stay, and why
    bytes: int


class Tombstone(Document):
    """``pruned.json``: this number is no version any more, and never will be again."""

    noun: ClassVar[str] = "record of a pruned version"

    format: Literal[1] = 1
    pruned: AwareDatetime


def prune(
    registry: Registry,
    keep: int,
    serving: Iterable[str] = (),
    older_than: timedelta = UNFINISHED_AFTER,
) -> PruneReport:
    """Remove all but the newest versions, and what interrupted runs left.

    The champion, the champion before it, what serves, every dataset that a kept model was trained on and every index
    that it is searched with stay.

    Args:
        registry: what to prune.
        keep: how many of the newest models, of the newest datasets and of the newest indexes stay in any case.
        serving: model versions that serve somewhere.
        older_than: how old an unfinished publication or upload must be before it counts as interrupted.

    Raises:
        StoreError: when `keep` is negative, or the object store fails; run it again then.
    """
    if keep < 0:
        raise StoreError(f"{keep} versions cannot be kept; give --keep a number such as 5.")
    pruning = _Pruning(registry)
    kept = pruning.sort_out("model", keep, _reasons(registry, serving))
    used = {manifest.lineage.dataset_version: f"{manifest.version} was trained on it" for manifest in kept}
    pruning.sort_out("dataset", keep, {name: why for name, why in used.items() if name})
    pruning.sort_out("index", keep, _searched(registry, {manifest.version for manifest in kept}))
    pruning.remove_unfinished(older_than)
    return pruning.report


def _reasons(registry: Registry, serving: Iterable[str]) -> dict[str, str]:
    reasons = {version: "it serves" for version in serving}
    champion = registry.champion()
    if champion is not None:
        others = {champion.version, *champion.undeployed}
        before = [entry.version for entry in champion.history if entry.version not in others]
        reasons |= {version: "it was champion before" for version in before[-1:]}
        if champion.in_service is not None:  # while the champion is being deployed, and where that deploy was killed
            reasons.setdefault(champion.in_service.version, "it was seen to serve last")
        reasons[champion.version] = "it is champion"
    return reasons


def _searched(registry: Registry, kept: set[str]) -> dict[str, str]:
    """Return the indexes that models which stay would be searched with, by a rollback or today."""
    champion = registry.champion()
    if champion is None:
        return {}
    found = {champion.index_of(version): f"{version} is searched with it" for version in sorted(kept)}
    if champion.in_service is not None:  # while another index of the champion is being deployed
        found.setdefault(champion.in_service.index, "it was seen to serve last")
    return {index: why for index, why in found.items() if index}


class _Pruning:
    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.store = registry.store
        self.report = PruneReport(removed=[], unfinished=[], kept={}, bytes=0)
        self._may_delete = False

    def sort_out(self, kind: Kind, keep: int, reasons: Mapping[str, str]) -> list[VersionManifest]:
        """Remove the versions that are neither among the newest nor have a reason to stay; returns those that stay."""
        manifests = self.registry.list_versions(kind)
        old = manifests[: max(0, len(manifests) - keep)]
        stay = manifests[len(old) :]
        for manifest in old:
            reason = reasons.get(manifest.version) or self.remove(manifest)
            if reason:
                self.report.kept[f"{folder_of(kind)}/{manifest.version}"] = reason
                stay.append(manifest)
        return stay

    def remove(self, manifest: VersionManifest) -> str:
        """Remove a version; the reason when it may not be removed after all."""
        kind, version = manifest.kind, manifest.version
        self._mark(kind, version)
        # Whoever makes it champion looks for the tombstone afterwards; so one of the two always sees the other.
        champion = self.registry.champion() if kind != "dataset" else None
        if champion is not None and version == (champion.version if kind == "model" else champion.index):
            self.store.delete(key_of(kind, version, TOMBSTONE))
            return "it became champion just now"
        self._empty(kind, version)
        self.report.removed.append(f"{folder_of(kind)}/{version}")
        self.report.bytes += manifest.size
        return ""

    def remove_unfinished(self, older_than: timedelta) -> None:
        """Remove what interrupted runs left, pruning included."""
        limit = datetime.now(UTC) - older_than
        for kind in get_args(Kind):
            for name, there in self.registry.survey(kind).items():
                left = there.keys() - {CLAIM, TOMBSTONE}
                stale = VERSION not in there and max(item.modified for item in there.values()) <= limit
                if (TOMBSTONE in there and left) or (TOMBSTONE not in there and stale):
                    self._mark(kind, name)
                    self._empty(kind, name)
                    self.report.unfinished.append(f"{folder_of(kind)}/{name}")
        for upload in unfinished_uploads(self.store):
            if upload.begun <= limit:
                abort_upload(self.store, upload)
                self.report.unfinished.append(upload.key)

    def _mark(self, kind: Kind, version: str) -> None:
        if not self._may_delete:
            # Before the first tombstone: keys that may write but not delete would end versions and free nothing.
            self.store.delete(f"{folder_of(kind)}/{_NOTHING}")
            self._may_delete = True
        tombstone = Tombstone(pruned=datetime.now(UTC)).to_json() + "\n"
        self.store.put(key_of(kind, version, TOMBSTONE), tombstone.encode("utf-8"))

    def _empty(self, kind: Kind, version: str) -> None:
        """Remove all of a version but its claim and its tombstone, the manifest first."""
        self.store.delete(key_of(kind, version, VERSION))
        for item in self.store.list(f"{folder_of(kind)}/{version}/"):
            if item.key not in {key_of(kind, version, CLAIM), key_of(kind, version, TOMBSTONE)}:
                self.store.delete(item.key)
