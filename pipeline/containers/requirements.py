"""What an image installs: the requirements of one of the project's extras, without the project itself.

Run as a plain file in the builder, before the project's code is there, so that a change to the code installs nothing:
``python3 image_requirements.py pyproject.toml export`` prints one requirement a line; no name gives the core.
"""

import re
import sys
import tomllib
from pathlib import Path

_OWN_EXTRAS = re.compile(r"ranklift\[(?P<names>[\w,-]+)\]")


def requirements(pyproject: Path, extra: str = "") -> list[str]:
    """Return the requirements of an extra, those of the extras that it includes in their place; of the core when empty.

    Raises:
        KeyError: when there is no such extra.
    """
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    waiting = list(extras[extra] if extra else project["dependencies"])
    found: dict[str, None] = {}
    while waiting:
        requirement = waiting.pop(0)
        own = _OWN_EXTRAS.fullmatch(requirement)
        if own is None:
            found[requirement] = None
        else:
            waiting += [included for name in own["names"].split(",") for included in extras[name]]
    return sorted(found)


if __name__ == "__main__":
    for name in sys.argv[2:] or [""]:
        print("\n".join(requirements(Path(sys.argv[1]), name)))
