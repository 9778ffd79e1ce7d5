"""`make docker-build`: builds the images from a checkout. Needs Docker and git, and no package of Python.

python3 -m pipeline.containers.build                     every image, tagged with the commit
python3 -m pipeline.containers.build gate promote        these alone
python3 -m pipeline.containers.build --print-tag         the tag
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from components.errors import RankliftError
from pipeline.containers.exit_status import exit_status
from pipeline.images import CHECKOUT, PREDICTOR, TARGETS, image_name, image_tag, wheels_tag

#: The images that carry torch; see ``components/Dockerfile``.
WITH_TORCH = frozenset({"prepare", "choose", "train", "export"})


class BuiltImage(NamedTuple):
    """One image, its size with all of its layers, and how long this build of it took."""

    image: str
    megabytes: int
    seconds: float


class BuildOptions(NamedTuple):
    """What is the same for every image of one build."""

    tag: str
    registry: str = ""
    wheels: Path | None = None  #: wheels that are preferred to an index's
    build_args: Sequence[str] = ()  #: NAME=VALUE, for the Dockerfiles' arguments


def build_images(targets: Sequence[str], options: BuildOptions) -> list[BuiltImage]:
    """Build images one after the other; layers that they share are built once.

    Raises:
        RankliftError: when Docker does not answer, cannot build, or a build fails.
    """
    check_torch(targets, options)
    check_builder()
    arguments = _arguments(options)
    return [_build(target, image_name(target, options.tag, options.registry), arguments) for target in targets]


def check_builder() -> None:
    """Raise a RankliftError unless Docker answers and can build with BuildKit."""
    version = _docker("version", "--format", "{{.Client.Version}}")
    if version.returncode:
        raise RankliftError(
            f"Docker does not answer ({version.stderr.strip() or version.stdout.strip()}); start it, and look with "
            f"`{docker()} version` whether you have access."
        )
    if int(version.stdout.split(".")[0]) >= 23 and _docker("buildx", "version").returncode:
        raise RankliftError(
            f"{docker()} {version.stdout.strip()} builds with buildx, which is not installed; install it "
            "(docker-buildx-plugin), or name another client with DOCKER=…."
        )


def docker() -> str:
    """Return the Docker client: what the environment variable DOCKER names, else ``docker``."""
    return os.environ.get("DOCKER") or "docker"


def _docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run([docker(), *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        raise RankliftError(f"Docker's client {docker()} cannot be run ({error.strerror}); install Docker.") from None


def _arguments(options: BuildOptions) -> list[str]:
    given = {"REVISION": options.tag, "VERSION": _version()}
    if options.wheels is not None:
        given["WHEELS_IMAGE"] = _wheels_image(options.wheels)
    given |= dict(pair.split("=", 1) for pair in options.build_args)
    arguments = [argument for name, value in given.items() for argument in ("--build-arg", f"{name}={value}")]
    # Whoever needs a CA bundle for pip needs it in a build as well: a secret, which no layer keeps.
    if certificates := os.environ.get("PIP_CERT"):
        arguments += ["--secret", f"id=pip_ca,src={certificates}"]
    return arguments


def check_torch(targets: Sequence[str], options: BuildOptions) -> None:
    """Raise a RankliftError when images with torch are to be built and nobody said which torch.

    pip's default index would give the one with CUDA on Linux, gigabytes that a CPU has no use for.
    """
    named = any(pair.startswith("TORCH_INDEX=") for pair in options.build_args)
    brought = options.wheels is not None and any(options.wheels.glob("torch-*.whl"))
    if WITH_TORCH.isdisjoint(targets) or named or brought:
        return
    raise RankliftError(
        f"The images {', '.join(sorted(WITH_TORCH))} need torch, and no source is named; name PyTorch's index of "
        "wheels for CPUs or for a CUDA release, as PyTorch's installation page gives it after `--index-url`: "
        "`make docker-build TORCH_INDEX=https://…/whl/cpu`, or a folder with a torch-*.whl: --wheels DIR."
    )


def _version() -> str:
    import tomllib

    version: str = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return version


def _wheels_image(wheels: Path) -> str:
    image = f"ranklift-wheels:{wheels_tag(wheels)}"
    if _docker("image", "inspect", image).returncode:
        with subprocess.Popen(["tar", "-C", str(wheels), "-c", "."], stdout=subprocess.PIPE) as archive:  # noqa: S607 - the user's
            subprocess.run([docker(), "import", "-", image], stdin=archive.stdout, stdout=sys.stderr, check=True)
    return image


def _build(target: str, image: str, arguments: Sequence[str]) -> BuiltImage:
    dockerfile = "kserve/Dockerfile" if target == PREDICTOR else "components/Dockerfile"
    print(f"building {image}", file=sys.stderr, flush=True)
    started = time.monotonic()
    command = [docker(), "build", "--file", dockerfile, "--target", target, "--tag", image, *arguments, "."]
    build = subprocess.run(
        command, cwd=CHECKOUT, stdout=sys.stderr, check=False, env={**os.environ, "DOCKER_BUILDKIT": "1"}
    )
    if build.returncode:
        raise RankliftError(f"Building {image} failed; the lines above say why.")
    return BuiltImage(image, round(check_image(image) / 1e6), round(time.monotonic() - started, 1))


def check_image(image: str) -> int:
    """Return the size of an image with all of its layers, in bytes.

    Raises:
        RankliftError: when there is no such image on this machine.
    """
    inspected = _docker("image", "inspect", "--format", "{{.Size}}", image)
    if inspected.returncode:
        raise RankliftError(
            f"There is no image {image} on this machine; build it with `make docker-build`, or name the tag that you "
            "built or pulled with RANKLIFT_IMAGE_TAG."
        )
    return int(inspected.stdout)


def main() -> int:
    """Build what the command line names; 0, or 2 with one sentence."""
    parser = argparse.ArgumentParser(prog="python3 -m pipeline.containers.build", description=__doc__.split("\n")[0])
    names = (*TARGETS, PREDICTOR)
    parser.add_argument("targets", nargs="*", metavar="target", help=f"of {', '.join(names)}; all when left out")
    parser.add_argument("--tag", help="in place of the commit")
    parser.add_argument("--registry", default=os.environ.get("RANKLIFT_IMAGE_REGISTRY", ""), help="such as ghcr.io/you")
    parser.add_argument("--wheels", type=Path, help="a folder of wheels that are preferred to an index's")
    parser.add_argument("--build-arg", action="append", default=[], help="NAME=VALUE, for the Dockerfiles")
    parser.add_argument("--print-tag", action="store_true", help="print the tag of this checkout and build nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    if unknown := [target for target in given.targets if target not in names]:
        parser.error(f"there is no image {unknown[0]!r}; there are {', '.join(names)}")
    if wrong := [pair for pair in given.build_arg if "=" not in pair]:
        parser.error(f"--build-arg {wrong[0]} is not NAME=VALUE, such as BASE_IMAGE=python:3.11-slim")

    def work() -> None:
        tag = image_tag(given.tag)
        if given.print_tag:
            print(tag)
            return
        index = os.environ.get("TORCH_INDEX")
        build_args = [*([f"TORCH_INDEX={index}"] if index else []), *given.build_arg]
        options = BuildOptions(tag, given.registry, given.wheels, build_args)
        built = build_images(given.targets or names, options)
        if given.json:
            print(json.dumps([image._asdict() for image in built], indent=2))
        else:
            print("\n".join(f"{image.megabytes:>6} MB  {image.seconds:>6} s  {image.image}" for image in built))

    return exit_status(work)


if __name__ == "__main__":
    sys.exit(main())
