"""See that an installed wheel is whole: `make test-wheel` runs it with the Python that the wheel is installed in."""

import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

#: Files that are not Python and that the installed packages open.
NEEDED = {
    "components": ["py.typed", "html_page.html", "gate/report.html", "prepare/profile/page.html", "train/curve.html"],
    "pipeline": ["py.typed"],
    "predictor": ["py.typed", "page/index.html", "page/page.css", "page/page.js"],
}


def main() -> None:
    """Raise SystemExit with what is missing."""
    missing = [f"{package}/{name}" for package, names in NEEDED.items() for name in names if not there(package, name)]
    if missing:
        raise SystemExit(
            f"The wheel lacks {', '.join(missing)}; see [tool.hatch.build.targets.wheel] in pyproject.toml."
        )
    command = Path(sys.executable).with_name("ranklift")
    subprocess.run([str(command), "gate", "--help"], check=True, stdout=subprocess.DEVNULL)
    print(f"The wheel of ranklift {version('ranklift')} is whole.")


def there(package: str, name: str) -> bool:
    """Return whether an installed package has a file."""
    return files(package).joinpath(name).is_file()


if __name__ == "__main__":
    main()
