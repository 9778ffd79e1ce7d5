"""Pin what ranklift is tested with: `make lock` (packages) and `make lock-images` (base images).

python .ci/lock.py packages     writes requirements.lock (hashes) and constraints.txt (versions) from pyproject.toml
python .ci/lock.py images       writes the digest of every base image behind its tag

Versions that are pinned already stay, unless they no longer fit; UPGRADE=1 in the environment takes the newest.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
LOCK = CHECKOUT / "requirements.lock"
CONSTRAINTS = CHECKOUT / "constraints.txt"
#: Files that name a base image, and what stands before it there.
IMAGES = {
    "components/Dockerfile": "ARG BASE_IMAGE=",
    "kserve/Dockerfile": "ARG BASE_IMAGE=",
    "tests/containers/Dockerfile": "ARG BASE_IMAGE=",
    "compose.yaml": "${RANKLIFT_STORE_IMAGE:-",
}
#: Pinned by version alone: each machine has it from the index of its processor (CPU or a release of
#: CUDA), where the file has other bytes and brings other packages of CUDA.
TORCH = "torch"
_OF_TORCH = re.compile(r"(?:nvidia-[\w-]+|cuda-[\w-]+|triton)==")
_HEADER = (
    "# {what}; `make lock` writes it from pyproject.toml.\n"
    "# torch comes from the index that fits the machine, so that {torch}.\n"
)
_IMAGE = re.compile(r"(?P<name>[\w./-]+:[\w.-]+)(?:@sha256:[0-9a-f]{64})?")


def lock_packages() -> None:
    """Resolve every extra for every supported Python and platform, and write both files."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--all-extras", "--universal"]
    options = ["--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate", "--quiet"]
    known = CHECKOUT / ".ranklift" / "known.lock"
    known.parent.mkdir(exist_ok=True)
    known.write_text(CONSTRAINTS.read_text(encoding="utf-8"), encoding="utf-8")  # uv keeps the versions that it finds
    upgrade = ["--upgrade"] if os.environ.get("UPGRADE") else []
    try:
        subprocess.run([*command, *options, *upgrade, "--output-file", str(known)], cwd=CHECKOUT, check=True)
        locked = list(packages(known.read_text(encoding="utf-8")))
    finally:
        known.unlink()
    hashed = [lines for lines in locked if not lines[0].startswith(f"{TORCH}==")]
    LOCK.write_text(
        _HEADER.format(what="Every package with its hashes", torch="it is not here")
        + "".join(f"{line}\n" for lines in hashed for line in lines),
        encoding="utf-8",
    )
    CONSTRAINTS.write_text(
        _HEADER.format(what="Every package with its version", torch="requirements.lock, with the hashes, lacks it")
        + "".join(f"{lines[0].removesuffix(' ' + chr(92))}\n" for lines in locked),
        encoding="utf-8",
    )


def packages(lock: str) -> Iterator[list[str]]:
    """Return the lines of each package: name, version, marker and hashes; without packages that only torch needs."""
    lines = (line for line in lock.splitlines() if not line.startswith("#"))
    for first, rest in _paragraphs(lines):
        if not _OF_TORCH.match(first):
            yield [first, *rest]


def _paragraphs(lines: Iterator[str]) -> Iterator[tuple[str, list[str]]]:
    """Each line that begins at the margin, and the indented ones below it."""
    first = next(lines)
    rest: list[str] = []
    for line in lines:
        if line.startswith(" "):
            rest.append(line)
        else:
            yield first, rest
            first, rest = line, []
    yield first, rest


def lock_images() -> None:
    """Write the digest that the registry gives for each base image now; needs Docker and the registry."""
    for name, before in IMAGES.items():
        file = CHECKOUT / name
        text = file.read_text(encoding="utf-8")
        image = image_after(text, before)
        pinned = f"{image}@{digest_of(image)}"
        file.write_text(with_image(text, before, pinned), encoding="utf-8")
        print(f"{name}: {pinned}")


def image_after(text: str, before: str) -> str:
    """Return the image, by name and tag, behind some text."""
    return _found(text, before)["name"]


def with_image(text: str, before: str, image: str) -> str:
    """Return the text with another image in this place."""
    found = _found(text, before)
    return text[: found.start()] + image + text[found.end() :]


def _found(text: str, before: str) -> re.Match[str]:
    found = _IMAGE.match(text, text.index(before) + len(before))
    if found is None:
        raise SystemExit(f"No image with a tag follows {before!r}; write it as name:tag.")
    return found


def digest_of(image: str) -> str:
    """Return the digest of an image for all platforms, as its registry gives it.

    Raises:
        SystemExit: when the registry does not answer or has no such image.
    """
    docker = os.environ.get("DOCKER") or "docker"
    command = [docker, "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    digest = result.stdout.strip()
    if result.returncode or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise SystemExit(
            f"The registry gives no digest for {image} ({result.stderr.strip() or digest}); try again where Docker "
            "reaches it."
        )
    return digest


def main(arguments: Sequence[str]) -> None:
    """Write the locks that the command line names."""
    commands = {"packages": lock_packages, "images": lock_images}
    if len(arguments) != 1 or arguments[0] not in commands:
        raise SystemExit(__doc__)
    commands[arguments[0]]()


if __name__ == "__main__":
    main(sys.argv[1:])
