"""`make docker-push`: pushes the images to their registry and writes down what it then calls them.

python -m pipeline.containers.push dist/images.json      needs RANKLIFT_IMAGE_REGISTRY, such as ghcr.io/you, and a login
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from components.errors import RankliftError
from pipeline.containers.build import check_image, docker
from pipeline.containers.exit_status import exit_status
from pipeline.containers.sbom import sbom_name
from pipeline.images import PREDICTOR, TARGETS, image_name, image_tag


class PushedImage(NamedTuple):
    """An image in its registry."""

    name: str  #: with the registry, without a tag
    tag: str
    digest: str  #: sha256:…, which names these bytes for ever
    sbom: str  #: the file name of its bill of materials


def push_images(registry: str, tag: str) -> list[PushedImage]:
    """Push every image, one after the other.

    Raises:
        RankliftError: when no registry is named, an image is missing, or the registry refuses it.
    """
    if not registry:
        raise RankliftError("No registry is named; set RANKLIFT_IMAGE_REGISTRY, such as ghcr.io/you, and build again.")
    return [_push(target, registry, tag) for target in (*TARGETS, PREDICTOR)]


def _push(target: str, registry: str, tag: str) -> PushedImage:
    image = image_name(target, tag, registry)
    check_image(image)
    print(f"pushing {image}", file=sys.stderr, flush=True)
    if subprocess.run([docker(), "push", "--quiet", image], stdout=sys.stderr, check=False).returncode:
        raise RankliftError(f"{image} was not pushed; the lines above say why. `docker login` logs in to a registry.")
    name = image.rpartition(":")[0]
    return PushedImage(name, tag, _digest(image, name), sbom_name(target))


def _digest(image: str, name: str) -> str:
    command = [docker(), "image", "inspect", "--format", "{{json .RepoDigests}}", image]
    known: list[str] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    digests = [digest for repository, _, digest in (entry.partition("@") for entry in known) if repository == name]
    if not digests:
        raise RankliftError(f"Docker knows no digest of {image} after the push (it knows {known}); push it again.")
    return digests[0]


def main() -> int:
    """Push, and write the file that the command line names; 0, or 2 with one sentence."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.containers.push", description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path)
    given = parser.parse_args()

    def work() -> None:
        pushed = push_images(os.environ.get("RANKLIFT_IMAGE_REGISTRY", ""), image_tag())
        given.file.parent.mkdir(parents=True, exist_ok=True)
        given.file.write_text(json.dumps([image._asdict() for image in pushed], indent=2) + "\n", encoding="utf-8")
        print("\n".join(f"{image.name}@{image.digest}" for image in pushed))

    return exit_status(work)


if __name__ == "__main__":
    sys.exit(main())
