"""Proof that every byte of the registry is what was published, and that the champion's history was not changed."""

import hashlib
from typing import ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict

from components.errors import DataError, StoreError
from components.machine.parallel import in_parallel
from components.object_store.client import ObjectInfo
from components.object_store.transfer import unfinished_uploads
from components.records.document import Document
from components.registry.files import CARD, CLAIM, TOMBSTONE, VERSION
from components.registry.registry import Registry
from components.registry.version import Claim, Kind, VersionManifest, folder_of, is_version_name, key_of

Fault = Literal["damaged", "missing", "foreign", "unfinished", "history"]
_OWN = {VERSION, CLAIM, CARD}


class Finding(BaseModel):
    """One thing that is not as it was published."""

    model_config = ConfigDict(extra="forbid")

    fault: Fault  #: "unfinished" is garbage of an interrupted run and harms nothing; the others are damage
    key: str
    sentence: str


class VerifyReport(Document):
    """What `verify` read and found."""

    noun: ClassVar[str] = "report of a verification"

    versions: int
    objects: int
    bytes: int
    findings: list[Finding]

    @property
    def sound(self) -> bool:
        """Whether every version and the champion are what was published; garbage does not count."""
        return all(finding.fault == "unfinished" for finding in self.findings)


def verify(registry: Registry) -> VerifyReport:
    """Read every object of every version again and compare it with its manifest; check the champion's history.

    Raises:
        StoreError: when the object store cannot be read.
    """
    findings: list[Finding] = []
    versions = objects = size = 0
    for kind in get_args(Kind):
        for name, there in registry.survey(kind).items():
            found = _verify_version(registry, kind, name, there)
            findings += found
            versions += VERSION in there and TOMBSTONE not in there
            objects += len(there)
            size += sum(item.size for item in there.values())
        findings += _foreign_folders(registry, kind)
    findings += [
        Finding(fault="unfinished", key=upload.key, sentence=f"{upload.key} is an upload that was never completed.")
        for upload in unfinished_uploads(registry.store)
    ]
    findings += _verify_champion(registry)
    return VerifyReport(versions=versions, objects=objects, bytes=size, findings=findings)


def _verify_version(registry: Registry, kind: Kind, name: str, there: dict[str, ObjectInfo]) -> list[Finding]:
    folder = f"{folder_of(kind)}/{name}"
    if TOMBSTONE in there:
        left = sorted(there.keys() - {CLAIM, TOMBSTONE})
        sentence = f"{folder} was pruned and {len(left)} of its objects are still there; run `ranklift prune`."
        return [Finding(fault="unfinished", key=folder, sentence=sentence)] if left else []
    if VERSION not in there:
        sentence = f"{folder} was started and never finished: it is not a version; `ranklift prune` removes it."
        return [Finding(fault="unfinished", key=folder, sentence=sentence)]
    try:
        manifest = registry.manifest(kind, name)
    except StoreError as error:
        return [Finding(fault="damaged", key=key_of(kind, name, VERSION), sentence=str(error))]
    results = in_parallel(lambda file: _verify_file(registry, manifest, file, there.get(file)), manifest.files)
    findings = [finding for finding in results if finding is not None]
    findings += _verify_own(registry, manifest, there)
    for file in sorted(there.keys() - manifest.files.keys() - _OWN):
        sentence = f"{folder}/{file} does not belong to this version; remove it."
        findings.append(Finding(fault="foreign", key=f"{folder}/{file}", sentence=sentence))
    return findings


def _verify_file(registry: Registry, manifest: VersionManifest, file: str, there: ObjectInfo | None) -> Finding | None:
    key = key_of(manifest.kind, manifest.version, file)
    entry = manifest.files[file]
    if there is None:
        return Finding(fault="missing", key=key, sentence=f"{key} is missing; restore it from a copy of the bucket.")

    def digest() -> str:
        whole = hashlib.sha256()
        for block in registry.store.read_range(key, 0, there.size) if there.size else ():
            whole.update(block)
        return whole.hexdigest()

    found = registry.store.attempt(f"read {key}", digest)
    if found == entry.sha256:
        return None
    sentence = f"{key} is damaged: its SHA-256 is {found[:12]}… where {entry.sha256[:12]}… was published."
    return Finding(fault="damaged", key=key, sentence=sentence)


def _verify_own(registry: Registry, manifest: VersionManifest, there: dict[str, ObjectInfo]) -> list[Finding]:
    findings = []
    claim = key_of(manifest.kind, manifest.version, CLAIM)
    blob = registry.store.find(claim)
    try:
        claimed = Claim.parse(blob.content, claim).content if blob else None
    except DataError:
        claimed = None
    if claimed != manifest.claimed:
        sentence = f"{claim} does not match the content of {manifest.version}; restore it from a copy."
        findings.append(Finding(fault="damaged" if blob else "missing", key=claim, sentence=sentence))
    card = key_of(manifest.kind, manifest.version, CARD)
    if manifest.card and CARD not in there:
        sentence = f"{card} is missing; publish {manifest.version} again to write it."
        findings.append(Finding(fault="unfinished", key=card, sentence=sentence))
    elif CARD in there and registry.store.get(card).content != manifest.card.encode("utf-8"):
        findings.append(Finding(fault="damaged", key=card, sentence=f"{card} is not the card that was published."))
    return findings


def _foreign_folders(registry: Registry, kind: Kind) -> list[Finding]:
    keys = [item.key for item in registry.store.list(f"{folder_of(kind)}/")]
    foreign = [key for key in keys if not is_version_name(key.split("/")[1])]
    return [
        Finding(fault="foreign", key=key, sentence=f"{key} does not belong to the registry; remove it.")
        for key in foreign
    ]


def _verify_champion(registry: Registry) -> list[Finding]:
    try:
        champion = registry.champion()
    except StoreError as error:
        return [Finding(fault="history", key="champion.json", sentence=str(error))]
    findings = []
    for entry in champion.history if champion else []:
        is_current = champion is not None and entry.number == champion.current.number
        for kind, version, sha256 in entry.named:
            pruned = registry.store.stat(key_of(kind, version, TOMBSTONE)) is not None
            if not pruned or is_current:
                findings += _verify_named(registry, entry.number, kind, version, sha256)
    return findings


def _verify_named(registry: Registry, number: int, kind: Kind, version: str, sha256: str) -> list[Finding]:
    """Hold a version that the champion's history names against the hash that the history has of it."""
    try:
        found = registry.stored_manifest(kind, version).sha256
    except StoreError as error:
        return [Finding(fault="history", key="champion.json", sentence=str(error))]
    if found == sha256:
        return []
    sentence = (
        f"The manifest of {version} was changed after it became champion: its SHA-256 is {found[:12]}… "
        f"where history entry {number} says {sha256[:12]}…."
    )
    return [Finding(fault="history", key=key_of(kind, version, VERSION), sentence=sentence)]
