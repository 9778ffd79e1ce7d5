"""What a release needs beside its files; the workflow `release` and nothing else runs it, through make.

python .ci/release.py check v0.2.0                  the tag, the version and what names it agree
python .ci/release.py notes                         the version's section of CHANGELOG.md
python .ci/release.py sign-images dist/images.json  signs every pushed image by its digest
python .ci/release.py sign-files dist               signs wheel, sdist and bills of materials, each beside itself

Signing is cosign's, without a key: it asks the identity provider of the workflow, or opens a browser for a person.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
#: Files that name the version, and where.
VERSIONED = {
    "CITATION.cff": re.compile(r"^version: (\S+)$", re.MULTILINE),
    "kserve/inference-service.yaml": re.compile(r"image: ranklift-predictor:(\S+)"),
    "CHANGELOG.md": re.compile(r"^## (\d\S*)", re.MULTILINE),
}


def version(checkout: Path = CHECKOUT) -> str:
    """Return the project's version."""
    found: str = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return found


def disagreements(checkout: Path = CHECKOUT) -> list[str]:
    """Return a sentence for each file that names another version than pyproject.toml does."""
    wanted, found = version(checkout), []
    for name, pattern in VERSIONED.items():
        match = pattern.search((checkout / name).read_text(encoding="utf-8"))
        named = match[1] if match else "none"
        if named != wanted:
            found.append(f"{name} names version {named}, and pyproject.toml {wanted}; make them agree.")
    return found


def check(tag: str) -> None:
    """Raise SystemExit unless the tag is the version's, and every file names that version."""
    wrong = disagreements()
    if tag != f"v{version()}":
        wrong.insert(0, f"The tag is {tag} and the version {version()}: the tag must be v{version()}.")
    if wrong:
        raise SystemExit("\n".join(wrong))


def notes(changelog: str, wanted: str) -> str:
    """Return the section of a version, without its heading."""
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    for section in sections:
        heading, _, text = section.partition("\n")
        if heading.split()[0] == wanted:
            return text.strip() + "\n"
    raise SystemExit(f"CHANGELOG.md has no section {wanted}; move what is under Unreleased there.")


def sign_images(file: Path) -> None:
    """Sign every image that `make docker-push` wrote down."""
    for image in json.loads(file.read_text(encoding="utf-8")):
        _cosign("sign", "--yes", f"{image['name']}@{image['digest']}")


def sign_files(folder: Path) -> None:
    """Sign every file of a release; the signature of FILE is FILE.sigstore.json."""
    files = sorted([*folder.glob("ranklift-*.whl"), *folder.glob("ranklift-*.tar.gz"), *folder.glob("sbom/*.cdx.json")])
    if not files:
        raise SystemExit(f"There is nothing to sign in {folder}; run `make wheel sbom` first.")
    for file in files:
        _cosign("sign-blob", "--yes", "--bundle", f"{file}.sigstore.json", str(file))


def _cosign(*arguments: str) -> None:
    program = os.environ.get("COSIGN") or "cosign"
    try:
        status = subprocess.run([program, *arguments], check=False).returncode
    except FileNotFoundError:
        raise SystemExit(f"{program} is not installed; its own page says how, or name it with COSIGN=….") from None
    if status:
        raise SystemExit(f"`{program} {' '.join(arguments)}` failed with status {status}; the lines above say why.")


def _print_notes() -> None:
    print(notes((CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8"), version()), end="")


def main(arguments: Sequence[str]) -> None:
    """Run what the command line names."""
    commands: dict[tuple[str, int], Callable[..., None]] = {
        ("check", 1): check,
        ("notes", 0): _print_notes,
        ("sign-images", 1): lambda file: sign_images(Path(file)),
        ("sign-files", 1): lambda folder: sign_files(Path(folder)),
    }
    name, *rest = arguments or [""]
    command = commands.get((name, len(rest)))
    if command is None:
        raise SystemExit(__doc__)
    command(*rest)


if __name__ == "__main__":
    main(sys.argv[1:])
