"""The registry: immutable dataset, model and index versions, and the champion, in one bucket of an object store.

    datasets/V0/…   models/V0/…   indexes/V0/…   champion.json

A version's number is claimed with a conditional write, its files follow, its manifest comes last. A run that dies in
between leaves a number that nobody else gets, and no version; the same content, published again, carries on with it.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

from components.dataset.manifest import DatasetManifest
from components.errors import DataError, StoreError
from components.object_store.client import ObjectInfo, ObjectStore, ObjectStoreSettings
from components.object_store.conditional_writes import ConditionCheck
from components.object_store.transfer import upload
from components.records.decision import Decision
from components.registry.card import model_card
from components.registry.champion import CHAMPION, Action, Champion, ChampionEntry
from components.registry.download import StoredManifest, fetch_version
from components.registry.version import (
    CARD,
    CLAIM,
    TOMBSTONE,
    VERSION,
    Claim,
    Kind,
    Lineage,
    VersionManifest,
    check_version_name,
    code_version,
    content_digest,
    digest_of,
    folder_of,
    inventory,
    is_version_name,
    key_of,
    number_of,
    sha256_of,
)

__all__ = ["Champion", "Kind", "Lineage", "Registry", "Version", "VersionManifest"]

_PARALLEL = 4  # files at once
_T = TypeVar("_T")


class Version(NamedTuple):
    """A published version."""

    kind: Kind
    name: str  #: such as "V3"
    digest: str  #: of the dataset or the model
    manifest_sha256: str

    def __str__(self) -> str:
        return self.name


class Registry:
    """Versions and champion in an object store. Any number of processes may use one registry at the same time."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self._conditions = ConditionCheck(store)

    @property
    def place(self) -> str:
        """Where the registry is, for people."""
        return f"bucket {self.store.settings.bucket} at {self.store.settings.endpoint}"

    # Publishing

    def publish_dataset(self, directory: Path, lineage: Lineage | None = None) -> Version:
        """Keep a dataset version for good.

        Returns the version; content that is already in the registry gets its old number back.

        Raises:
            RankliftError: when the directory is not a dataset version.
            StoreError: when the object store fails.
        """
        if lineage is None:
            manifest = DatasetManifest.of(directory)
            lineage = Lineage(source=manifest.source, base_model=manifest.base_model, code_version=code_version())
        return self._publish("dataset", directory, lineage, None)

    def publish_model(self, directory: Path, decision: Decision | None, lineage: Lineage) -> Version:
        """Keep an exported model for good, with the decision that allowed it; see `publish_dataset`."""
        return self._publish("model", directory, lineage, decision)

    def claim_index(self, plan: str) -> str:
        """Return the number of the index that follows a plan, whose files may be kept below it from now on.

        Args:
            plan: SHA-256 of everything that determines the index; the same plan gets the same number.
        """
        return self._claim("index", plan)

    def publish_index(self, directory: Path, plan: str, lineage: Lineage) -> Version:
        """Keep an index for good, under the number that its plan claimed; see `publish_dataset`."""
        return self._publish("index", directory, lineage, None, plan)

    def _publish(
        self, kind: Kind, directory: Path, lineage: Lineage, decision: Decision | None, claim: str | None = None
    ) -> Version:
        files = inventory(directory)
        digest = digest_of(kind, directory, files)
        content = content_digest(files)
        while True:
            name = self._claim(kind, claim or content)
            manifest = VersionManifest(
                kind=kind,
                version=name,
                created=datetime.now(UTC),
                digest=digest,
                content=content,
                claim=claim,
                files=files,
                lineage=lineage,
                decision=decision,
            )
            if kind == "model":
                manifest = manifest.model_copy(update={"card": model_card(manifest)})
            version = self._fill(manifest, directory)
            if version is not None:
                return version

    def _claim(self, kind: Kind, content: str) -> str:
        """Return the number of this content: its number, or the next free one."""
        taken = self.survey(kind)
        open_ = [name for name, files in taken.items() if TOMBSTONE not in files]
        claims = self._parallel(lambda name: self._claimed_by(kind, name), open_)
        same = [name for name, claimed in claims if claimed == content]
        if same:
            return min(same, key=number_of)
        number = max(map(number_of, taken), default=-1) + 1
        claim = (Claim(content=content).to_json() + "\n").encode("utf-8")
        # The same content writes the same claim: who comes second joins who came first.
        while self.store.put_if_absent(key_of(kind, f"V{number}", CLAIM), claim) is None:
            number += 1
        self._conditions.check(key_of(kind, f"V{number}", CLAIM))
        return f"V{number}"

    def _claimed_by(self, kind: Kind, name: str) -> str | None:
        key = key_of(kind, name, CLAIM)
        blob = self.store.find(key)
        try:
            return Claim.parse(blob.content, key).content if blob else None
        except DataError:
            return None  # a foreign file: the number is taken all the same, and `verify` names it

    def _fill(self, manifest: VersionManifest, directory: Path) -> Version | None:
        """Upload what is missing of a claimed version; None when the version was pruned meanwhile."""
        kind, name = manifest.kind, manifest.version
        found = self._find_manifest(kind, name)
        if found is None:
            self._parallel(
                lambda file: upload(
                    self.store, key_of(kind, name, file), directory / file, manifest.files[file].sha256
                ),
                manifest.files,
            )
            self.store.put_if_absent(key_of(kind, name, VERSION), manifest.stored())
            found = self._find_manifest(kind, name)
        if found is None or self.store.stat(key_of(kind, name, TOMBSTONE)) is not None:
            return None
        if found.manifest.content != manifest.content:
            raise StoreError(f"{key_of(kind, name, VERSION)} was written by someone else; run `ranklift verify`.")
        if found.manifest.card and self.store.stat(key_of(kind, name, CARD)) is None:
            self.store.put(key_of(kind, name, CARD), found.manifest.card.encode("utf-8"))
        return Version(kind, name, found.manifest.digest, found.sha256)

    # Reading

    def list_versions(self, kind: Kind) -> list[VersionManifest]:
        """Return the manifests of all versions, oldest number first."""
        manifests = self._parallel(lambda name: self.manifest(kind, name), self._whole(kind))
        return [manifest for _, manifest in manifests]

    def has(self, kind: Kind, version: str) -> bool:
        """Whether there is such a version, whole and not pruned."""
        return version in self._whole(kind)

    def manifest(self, kind: Kind, version: str) -> VersionManifest:
        """Return the manifest of one version.

        Raises:
            StoreError: when there is no such version, or its manifest is damaged.
        """
        return self.stored_manifest(kind, version).manifest

    def stored_manifest(self, kind: Kind, version: str) -> StoredManifest:
        """Return the manifest of one version with the bytes that were stored; see `manifest`."""
        found = self._find_manifest(kind, check_version_name(version))
        if found is None or self.store.stat(key_of(kind, version, TOMBSTONE)) is not None:
            there = ", ".join(self._whole(kind)) or "none yet"
            raise StoreError(f"There is no {kind} {version} in the registry; it has {there}.")
        return found

    def _find_manifest(self, kind: Kind, version: str) -> StoredManifest | None:
        key = key_of(kind, version, VERSION)
        blob = self.store.find(key)
        if blob is None:
            return None
        try:
            manifest = VersionManifest.parse(blob.content, f"{key} in bucket {self.store.settings.bucket}")
        except DataError as error:
            raise StoreError(str(error)) from error
        if (manifest.kind, manifest.version) != (kind, version):
            raise StoreError(
                f"{key} is the manifest of {manifest.kind} {manifest.version}: it was moved there; "
                "run `ranklift verify`."
            )
        return StoredManifest(manifest, blob.content)

    def download(
        self, kind: Kind, version: str, directory: Path, manifest_sha256: str | None = None
    ) -> VersionManifest:
        """Fetch a version into `directory`, which appears only when every file was verified.

        Nothing is fetched when the version already lies there whole.

        Args:
            kind: "dataset", "model" or "index".
            version: such as "V3".
            directory: where it shall lie; its parent is made.
            manifest_sha256: what the manifest must hash to, when the caller knows (the champion does).

        Raises:
            StoreError: when there is no such version, or a file of it is missing, damaged or of a kind that can run
                code; or when something else lies at `directory`.
        """
        stored = self.expected_manifest(kind, version, manifest_sha256)
        fetch_version(self.store, stored, directory)
        return stored.manifest

    def expected_manifest(self, kind: Kind, version: str, manifest_sha256: str | None) -> StoredManifest:
        """Return the manifest of a version, which must have this SHA-256 when the caller knows it.

        Raises:
            StoreError: when there is no such version, or its manifest is not that one.
        """
        stored = self.stored_manifest(kind, version)
        if manifest_sha256 not in {None, stored.sha256}:
            raise StoreError(
                f"The manifest of {kind} {version} was changed after it became champion: its SHA-256 is "
                f"{stored.sha256[:12]}… "
                f"where the champion record says {str(manifest_sha256)[:12]}…; run `ranklift verify`."
            )
        return stored

    # The champion

    def champion(self) -> Champion | None:
        """Return what serves today, or is being put into service; None while nothing has been promoted.

        Raises:
            StoreError: when the record is damaged or its history was changed.
        """
        blob = self.store.find(CHAMPION)
        if blob is None:
            return None
        try:
            return Champion.stored_as(blob.content, blob.etag, f"{CHAMPION} in bucket {self.store.settings.bucket}")
        except DataError as error:
            raise StoreError(str(error)) from error

    def move_champion(
        self,
        version: str,
        expected: Champion | None,
        *,
        action: Action = "promote",
        reason: str = "",
        decision: Decision | None = None,
        pipeline_run: str | None = None,
        index: str | None = None,
    ) -> Champion:
        """Make a model version champion, or note that it serves, provided that the champion is still `expected`.

        Its index moves with it, in the same write: the named index, else its latest.

        Raises:
            StoreError: when another run moved it meanwhile, there is no such version, or the index is of another model.
        """
        stored = self.stored_manifest("model", version)
        index = index or (expected.index_of(version) if expected else None)
        indexed = self._index_for(stored.manifest, index) if index else None
        entry = ChampionEntry(
            number=len(expected.history) if expected else 0,
            version=version,
            manifest_sha256=stored.sha256,
            digest=stored.manifest.digest,
            index=index,
            index_manifest_sha256=indexed.sha256 if indexed else None,
            moved=datetime.now(UTC),
            action=action,
            reason=reason,
            decision_sha256=sha256_of(decision.to_json().encode("utf-8")) if decision else None,
            pipeline_run=pipeline_run,
            previous=expected.head if expected else None,
        )
        champion = Champion(history=[*(expected.history if expected else []), entry])
        content = champion.stored()
        self._conditions.check(key_of("model", version, CLAIM))
        if expected is None:
            etag = self.store.put_if_absent(CHAMPION, content)
        else:
            etag = self.store.put_if_match(CHAMPION, content, expected.etag)
        if etag is None:
            now = self.champion()
            if expected is not None and now is not None and now.continues(expected):
                return self.move_champion(
                    version,
                    now,
                    action=action,
                    reason=reason,
                    decision=decision,
                    pipeline_run=pipeline_run,
                    index=index,
                )
            raise StoreError(
                f"{version} did not become champion: another run made {now.version if now else 'none'} champion "
                f"after {expected.version if expected else 'none'} was read; run the pipeline again."
            )
        for kind, name, _ in entry.named:
            if self.store.stat(key_of(kind, name, TOMBSTONE)) is not None:
                what = "promote the model" if kind == "model" else "make the index"
                raise StoreError(f"{kind} {name} was pruned at the moment it became champion; {what} again.")
        return Champion.stored_as(content, etag, CHAMPION)

    def _index_for(self, model: VersionManifest, index: str) -> StoredManifest:
        """Return the manifest of an index that may be named together with a model."""
        stored = self.stored_manifest("index", index)
        if stored.manifest.lineage.model_digest != model.digest:
            raise StoreError(
                f"index {index} was made with model {str(stored.manifest.lineage.model_digest)[:12]}…, and "
                f"{model.version} is {model.digest[:12]}…: the two do not belong together; make an index of "
                f"{model.version}."
            )
        return stored

    # How

    def survey(self, kind: Kind) -> dict[str, dict[str, ObjectInfo]]:
        """``{version: {file: object}}`` of everything under version numbers, complete or not, in number order."""
        found: dict[str, dict[str, ObjectInfo]] = {}
        folder = f"{folder_of(kind)}/"
        for item in self.store.list(folder):
            name, _, file = item.key.removeprefix(folder).partition("/")
            if is_version_name(name):
                found.setdefault(name, {})[file] = item
        return {name: found[name] for name in sorted(found, key=number_of)}

    def _whole(self, kind: Kind) -> list[str]:
        return [name for name, files in self.survey(kind).items() if VERSION in files and TOMBSTONE not in files]

    def _parallel(self, action: Callable[[str], _T], names: Iterable[str]) -> list[tuple[str, _T]]:
        ordered = list(names)
        with ThreadPoolExecutor(_PARALLEL) as pool:
            try:
                return list(zip(ordered, pool.map(action, ordered), strict=True))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise


def open_registry(settings: ObjectStoreSettings | None = None) -> Registry:
    """Return the registry in the object store that the environment names, its bucket made when there is none.

    Raises:
        StoreError: when no object store is configured, or it cannot be reached.
    """
    settings = settings or ObjectStoreSettings.from_environment()
    if settings is None:
        raise StoreError(
            "No object store is configured; set RANKLIFT_S3_ENDPOINT (for example http://127.0.0.1:9000), "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    store = ObjectStore(settings)
    store.ensure_bucket()
    return Registry(store)
