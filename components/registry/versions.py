"""The versions in the bucket, to read: which there are, their manifests, and their files."""

from pathlib import Path

from components.errors import DataError, StoreError
from components.machine.parallel import in_parallel
from components.object_store.client import ObjectInfo, ObjectStore
from components.registry.download import StoredManifest, fetch_version
from components.registry.files import TOMBSTONE, VERSION
from components.registry.version import (
    Kind,
    VersionManifest,
    check_version_name,
    folder_of,
    is_version_name,
    key_of,
    number_of,
)


class Versions:
    """The versions of every kind. Any number of processes may read while others publish."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    @property
    def place(self) -> str:
        """Where the registry is, for people."""
        return f"bucket {self.store.settings.bucket} at {self.store.settings.endpoint}"

    def list_versions(self, kind: Kind) -> list[VersionManifest]:
        """Return the manifests of all versions, oldest number first."""
        return in_parallel(lambda name: self.manifest(kind, name), self._whole(kind))

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
        found = self.find_manifest(kind, check_version_name(version))
        if found is None or self.store.stat(key_of(kind, version, TOMBSTONE)) is not None:
            there = ", ".join(self._whole(kind)) or "none yet"
            raise StoreError(f"There is no {kind} {version} in the registry; it has {there}.")
        return found

    def find_manifest(self, kind: Kind, version: str) -> StoredManifest | None:
        """Return the manifest under a number, whether the version was pruned or not; None where there is none.

        Raises:
            StoreError: when it is damaged.
        """
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
