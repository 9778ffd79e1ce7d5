"""The container images: which there are, which stage runs in which, and the tag that says what is in them."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from components.errors import RankliftError

#: The targets of ``components/Dockerfile``.
TARGETS = ("prepare", "choose", "train", "export", "evaluate", "gate", "promote", "index", "deploy")
PREDICTOR = "predictor"
#: `source` reads where `prepare` does; `measure` trains, exports and evaluates; `champion` exports the base model while
#: nothing has been promoted; `hold` is the other outcome of `gate`.
TARGET_OF = {target: target for target in TARGETS} | {
    "source": "prepare", "measure": "choose", "champion": "export", "hold": "gate",
}  # fmt: skip
CHECKOUT = Path(__file__).resolve().parents[1]


def image_name(target: str, tag: str, registry: str = "") -> str:
    """Return the name of one image, such as ``ghcr.io/you/ranklift-train:0123456789ab``."""
    return f"{registry.rstrip('/')}/ranklift-{target}:{tag}".lstrip("/")


def stage_images(tag: str, registry: str = "") -> dict[str, str]:
    """Return the image of every stage of the pipeline, by stage."""
    return {stage: image_name(target, tag, registry) for stage, target in TARGET_OF.items()}


def source_tag(checkout: Path = CHECKOUT) -> str:
    """Return the tag of images built from a checkout as it is: the commit, and a digest of local changes.

    KFP's cache takes an image's name for its content, so that code that changed must change the name.

    Raises:
        RankliftError: when the folder is no git checkout.
    """
    if not (checkout / "pyproject.toml").is_file() or not (checkout / ".git").exists():
        raise RankliftError(
            f"The images are named after the commit of the checkout, and {checkout} is none; "
            "give their tag with --image-tag or RANKLIFT_IMAGE_TAG, such as 0123456789ab."
        )
    commit = _git(checkout, "rev-parse", "--short=12", "HEAD")
    tree = _tree(checkout)
    changed = "" if tree == _git(checkout, "rev-parse", "HEAD^{tree}") else f"-dirty-{tree[:8]}"
    return f"{commit[:12]}{changed}"


def image_tag(given: str | None = None) -> str:
    """Return the given tag of the images, else ``RANKLIFT_IMAGE_TAG``, else that of this checkout; see `source_tag`."""
    return given or os.environ.get("RANKLIFT_IMAGE_TAG") or source_tag()


def _tree(checkout: Path) -> str:
    """Return the hash of all files that git does not ignore, as they are; the checkout's own index stays as it is."""
    git_path = ("rev-parse", "--path-format=absolute", "--git-path")
    with TemporaryDirectory() as scratch:
        index = Path(scratch) / "index"
        if (known := Path(_git(checkout, *git_path, "index"))).is_file():
            shutil.copyfile(known, index)
        objects = Path(scratch) / "objects"
        objects.mkdir()
        aside = {
            "GIT_INDEX_FILE": str(index),
            "GIT_OBJECT_DIRECTORY": str(objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": _git(checkout, *git_path, "objects"),
        }
        _git(checkout, "add", "--all", **aside)
        return _git(checkout, "write-tree", **aside)


def _git(checkout: Path, *arguments: str, **environment: str) -> str:
    command = ["git", "-C", str(checkout), *arguments]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, **environment}
        ).stdout.strip()
    except FileNotFoundError:
        raise RankliftError(
            "The images are named after the git commit, and git is not installed; install it."
        ) from None
    except subprocess.CalledProcessError as error:
        raise RankliftError(
            f"The images are named after the git commit, and `{' '.join(command[:1] + command[3:])}` failed in "
            f"{checkout}: {error.stderr.strip()}; give their tag with --image-tag or RANKLIFT_IMAGE_TAG."
        ) from None


def wheels_tag(wheels: Path) -> str:
    """Return a tag for an image of a folder of wheels, which changes when the folder does.

    Raises:
        RankliftError: when the folder holds no wheel.
    """
    found = sorted(wheels.glob("*.whl"))
    if not found:
        raise RankliftError(f"There is no wheel in {wheels}; name a folder of .whl files, or leave --wheels out.")
    listing = "\n".join(f"{wheel.name} {wheel.stat().st_size}" for wheel in found)
    return hashlib.sha256(listing.encode()).hexdigest()[:12]
