"""The registry: immutable dataset, model and index versions, and the champion, in one bucket of an object store.

    datasets/V0/…   models/V0/…   indexes/V0/…   champion.json

A version's number is claimed with a conditional write, its files follow, its manifest comes last. A run that dies in
between leaves a number that nobody else gets, and no version; the same content, published again, carries on with it.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from components.dataset.manifest import DatasetManifest
from components.errors import DataError, StoreError
from components.machine.parallel import in_parallel
from components.object_store.client import ObjectStore, ObjectStoreSettings
from components.object_store.conditional_writes import ConditionCheck
from components.object_store.transfer import upload
from components.records.decision import Decision
from components.registry.card import model_card
from components.registry.champion import CHAMPION, LATEST, Action, Champion, ChampionEntry
from components.registry.download import StoredManifest
from components.registry.files import CARD, CLAIM, TOMBSTONE, VERSION, content_digest, inventory
from components.registry.version import (
    Claim,
    Kind,
    Lineage,
    VersionManifest,
    code_version,
    digest_of,
    key_of,
    number_of,
    sha256_of,
)
from components.registry.versions import Versions

_AGAIN: dict[Action, str] = {"promote": "run the pipeline again", "index": "make the index again"}
_LOOK = "look at `ranklift models history` and try again"

__all__ = ["LATEST", "Champion", "Kind", "Lineage", "Registry", "Version", "VersionManifest"]


class Version(NamedTuple):
    """A published version."""

    kind: Kind
    name: str  #: such as "V3"
    digest: str  #: of the dataset or the model
    manifest_sha256: str

    def __str__(self) -> str:
        return self.name


class Registry(Versions):
    """Versions and champion in an object store. Any number of processes may use one registry at the same time."""

    def __init__(self, store: ObjectStore) -> None:
        super().__init__(store)
        self._conditions = ConditionCheck(store)

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
        claims = in_parallel(lambda name: self._claimed_by(kind, name), open_)
        same = [name for name, claimed in zip(open_, claims, strict=True) if claimed == content]
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
        found = self.find_manifest(kind, name)
        if found is None:
            in_parallel(
                lambda file: upload(
                    self.store, key_of(kind, name, file), directory / file, manifest.files[file].sha256
                ),
                manifest.files,
            )
            self.store.put_if_absent(key_of(kind, name, VERSION), manifest.stored())
            found = self.find_manifest(kind, name)
        if found is None or self.store.stat(key_of(kind, name, TOMBSTONE)) is not None:
            return None
        if found.manifest.content != manifest.content:
            raise StoreError(f"{key_of(kind, name, VERSION)} was written by someone else; run `ranklift verify`.")
        if found.manifest.card and self.store.stat(key_of(kind, name, CARD)) is None:
            self.store.put(key_of(kind, name, CARD), found.manifest.card.encode("utf-8"))
        return Version(kind, name, found.manifest.digest, found.sha256)

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
        index: str | None = LATEST,
    ) -> Champion:
        """Make a model version champion, or note that it serves, provided that the champion is still `expected`.

        Its index moves with it, in the same write: by default the index that it was last named with; None for none.

        Raises:
            StoreError: when another run moved it meanwhile, there is no such version, or the index is of another model.
        """
        named = (expected.index_of(version) if expected else None) if index == LATEST else index
        entry = ChampionEntry(
            number=len(expected.history) if expected else 0,
            version=version,
            moved=datetime.now(UTC),
            action=action,
            reason=reason,
            decision_sha256=sha256_of(decision.to_json().encode("utf-8")) if decision else None,
            pipeline_run=pipeline_run,
            previous=expected.head if expected else None,
            **self._named(version, named),
        )
        champion = Champion(history=[*(expected.history if expected else []), entry])
        etag = self._write(champion, expected)
        if etag is not None:
            self._refuse_pruned(entry)
            return Champion.stored_as(champion.stored(), etag, CHAMPION)
        now = self.champion()
        if expected is None or now is None or not now.continues(expected):
            made, read = (it.current.pair if it else "none" for it in (now, expected))
            raise StoreError(
                f"{entry.pair} did not become champion: another run made {made} champion after {read} was read; "
                f"{_AGAIN.get(action, _LOOK)}."
            )
        return self.move_champion(
            version, now, action=action, reason=reason, decision=decision, pipeline_run=pipeline_run, index=index
        )

    def _named(self, version: str, index: str | None) -> dict[str, Any]:
        """Return what an entry says of the model and the index that it names."""
        stored = self.stored_manifest("model", version)
        named = {"manifest_sha256": stored.sha256, "digest": stored.manifest.digest}
        if index is None:
            return named
        return {**named, "index": index, "index_manifest_sha256": self._index_for(stored.manifest, index).sha256}

    def _write(self, champion: Champion, expected: Champion | None) -> str | None:
        """Return the entity tag of the champion record that was written; None when another run wrote it meanwhile."""
        self._conditions.check(key_of("model", champion.version, CLAIM))
        if expected is None:
            return self.store.put_if_absent(CHAMPION, champion.stored())
        return self.store.put_if_match(CHAMPION, champion.stored(), expected.etag)

    def _refuse_pruned(self, entry: ChampionEntry) -> None:
        for kind, name, _ in entry.named:
            if self.store.stat(key_of(kind, name, TOMBSTONE)) is not None:
                what = "promote the model" if kind == "model" else "make the index"
                raise StoreError(f"{kind} {name} was pruned at the moment it became champion; {what} again.")

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
