"""A software bill of materials (CycloneDX) for each image: its packages of Python, with versions and licences.

python -m pipeline.containers.sbom dist/sbom             for every image of this checkout
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from components.errors import RankliftError
from pipeline.containers.build import check_image, docker
from pipeline.containers.exit_status import exit_status
from pipeline.images import PREDICTOR, TARGETS, image_name, image_tag

_METADATA = "cd / && tar -c opt/venv/lib/python3*/site-packages/*.dist-info opt/ranklift/*.dist-info"


def sbom_name(target: str) -> str:
    """Return the file name of an image's bill."""
    return f"ranklift-{target}.cdx.json"


def write_sbom(image: str, file: Path) -> int:
    """Write the bill of an image as CycloneDX JSON; gives the number of its components.

    The packages' metadata is copied out of the image and read here: nothing is installed in it for this.

    Raises:
        RankliftError: when there is no such image, or cyclonedx-bom is not installed.
    """
    check_image(image)
    cyclonedx = Path(sys.executable).with_name("cyclonedx-py")
    if not cyclonedx.is_file():
        raise RankliftError("A bill of materials is written by cyclonedx-bom, which is not installed; `make install`.")
    with TemporaryDirectory() as scratch:
        root = Path(scratch)
        command = [docker(), "run", "--rm", "--network=none", "--entrypoint=sh", image, "-c", _METADATA]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as archive:
            subprocess.run(["tar", "-x", "-C", scratch], stdin=archive.stdout, check=True)  # noqa: S607
        folders = sorted({str(found.parent) for found in root.rglob("*.dist-info")})
        # cyclonedx-py asks an interpreter where its packages are; this one is asked nothing else.
        interpreter = root / "python3"
        interpreter.write_text(f"#!/bin/sh\ncat <<'EOF'\n{json.dumps(folders)}\nEOF\n", encoding="utf-8")
        interpreter.chmod(0o700)
        file.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [str(cyclonedx), "environment", "--output-reproducible", "-o", str(file), str(interpreter)], check=True
        )
    components: list[object] = json.loads(file.read_text(encoding="utf-8"))["components"]
    return len(components)


def main() -> int:
    """Write a file for each image into the folder that the command line names; 0, or 2 with one sentence."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.containers.sbom", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tag", help="of the images; from git otherwise")
    parser.add_argument("--registry", default=os.environ.get("RANKLIFT_IMAGE_REGISTRY", ""), help="such as ghcr.io/you")
    given = parser.parse_args()

    def work() -> None:
        tag = image_tag(given.tag)
        for target in (*TARGETS, PREDICTOR):
            file = given.folder / sbom_name(target)
            print(f"{write_sbom(image_name(target, tag, given.registry), file):>5} packages  {file}", flush=True)

    return exit_status(work)


if __name__ == "__main__":
    sys.exit(main())
