"""A version in a folder: whole and unchanged, whoever brought it there. Opens no connection and needs no client."""

from pathlib import Path

from components.errors import DataError, StoreError
from components.machine.digest import check_file
from components.registry.files import VERSION
from components.registry.version import VersionManifest, sha256_of


def check_directory(directory: Path, manifest_sha256: str | None = None) -> VersionManifest:
    """Prove that a directory holds a version, whole and unchanged, as whoever brought it there may not have done.

    Args:
        directory: what `Registry.download`, or KServe's storage initialiser, made of a version.
        manifest_sha256: what its manifest must hash to; the champion record says it.

    Raises:
        StoreError: when the manifest is missing, damaged or another one, or a file is missing or damaged.
    """
    path = directory / VERSION
    if not path.is_file():
        raise StoreError(f"{directory} is not a version of the registry: it has no {VERSION}; download it again.")
    content = path.read_bytes()
    found = sha256_of(content)
    if manifest_sha256 not in {None, found}:
        raise StoreError(
            f"{path} is not the manifest that became champion: its SHA-256 is {found[:12]}… where "
            f"{str(manifest_sha256)[:12]}… was promoted; run `ranklift verify`."
        )
    try:
        manifest = VersionManifest.parse(content, str(path))
    except DataError as error:
        raise StoreError(str(error)) from error
    check_files(directory, manifest)
    return manifest


def check_files(directory: Path, manifest: VersionManifest) -> None:
    """Raise a StoreError unless the version lies in the directory, whole."""
    for file, entry in manifest.files.items():
        path = directory / file
        if not path.is_file():
            raise StoreError(f"{directory} is there and is not {manifest.version} ({file} is missing); remove it.")
        check_file(path, entry.sha256, str(path))
