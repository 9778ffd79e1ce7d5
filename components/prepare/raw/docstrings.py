"""``demo://docstrings``: real (query, passage) pairs from the documentation that is installed already.

The summary line of a docstring is the query, its extended description the passage. Source files are read and never
imported, and are visited in sorted order, so that the same package versions give the same bytes on every machine.
"""

import inspect
import re
from collections.abc import Iterator
from hashlib import blake2b
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from components.dataset.manifest import Triplet
from components.errors import DataError
from components.prepare.options import DEMO_SOURCE
from components.prepare.raw.docstring_scan import docstrings

#: Module name, and the distribution that brings it.
PACKAGES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "pandas": "pandas",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "sympy": "sympy",
    "networkx": "networkx",
}
SHORTEST_QUERY = 3  # words
SHORTEST_PASSAGE = 8  # words
_NOT_DOCUMENTATION = {"benchmarks", "externals", "test", "testing", "tests"}
_INTERNAL_BUT_PUBLIC = {"_core"}  # numpy keeps most of its public functions there
_EXPLANATIONS = {"explanation", "description", "notes", "extended summary"}
_UNDERLINE = re.compile(r"[=\-~^*#+]{3,}")
_GOOGLE_SECTION = re.compile(
    r"(args|arguments|attributes|example|examples|keyword args|note|notes|parameters|raises|references|return|returns|"
    r"shape|see also|warning|warnings|yields|inputs?|outputs?|usage|todo):{1,2}",
    re.IGNORECASE,
)
_DIRECTIVE = re.compile(r"\.\. (\w+)::.*")
_ROLE = re.compile(r":[\w:]+:`~?([^`<]+?)(?:\s*<[^`>]+>)?`")
_PLACEHOLDER = re.compile(r"\{\w+\}")
_SIGNATURE = re.compile(r"[\w.]+\(.*\)(\s*->.*)?")
_WORD = re.compile(r"[^\W\d_]{2,}")


class Pair(NamedTuple):
    """A documented object: where it is, the first sentence about it, and the explanation that follows."""

    query_id: str  #: dotted path of the object
    module: str
    query: str
    passage: str


def demo_triplets(seed: int) -> list[Triplet]:
    """Return the demo data: one triplet for each documented object, with a negative of the same module if it has one.

    Raises:
        DataError: when one of the packages is not installed.
    """
    directories = {package: package_directory(package) for package in PACKAGES}
    pairs = [pair for package, directory in directories.items() for pair in package_pairs(package, directory)]
    return with_negatives(unique_pairs(pairs), seed)


def package_versions() -> dict[str, str]:
    """Return the installed versions that the demo data was read from, by distribution."""
    return {distribution: version(distribution) for distribution in PACKAGES.values()}


def package_directory(package: str) -> Path:
    """Where a package's sources lie; the package is not imported.

    Raises:
        DataError: when it is not installed.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise DataError(
            f"{DEMO_SOURCE} reads the documentation of {package}, which is not installed; "
            "install the demo extra with `pip install 'ranklift[demo]'` or use your own data."
        )
    return Path(spec.origin).parent


def package_pairs(package: str, directory: Path) -> Iterator[Pair]:
    """Yield the pairs of every documented object below a directory of Python sources, in the order of file names."""
    files = sorted(directory.rglob("*.py"), key=lambda path: path.relative_to(directory).as_posix())
    for path in files:
        relative = path.relative_to(directory)
        if not _is_documentation(relative):
            continue
        parts = [package, *relative.with_suffix("").parts]
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield from source_pairs(path.read_bytes(), module)


def source_pairs(source: bytes, module: str) -> Iterator[Pair]:
    """Yield the pairs of one module, from its source."""
    for name, docstring in docstrings(source.decode("utf-8", "replace")):
        pair = pair_of(name, _PLACEHOLDER.sub(" ", docstring), module)
        if pair is not None:
            yield pair


def pair_of(name: str, docstring: str, module: str) -> Pair | None:
    """Split a docstring into query and passage; None when either is too short to mean something."""
    blocks = _blocks(inspect.cleandoc(docstring))
    if blocks and _SIGNATURE.fullmatch(blocks[0]):
        blocks = blocks[1:]
    if len(blocks) < 2:
        return None
    query = blocks[0]
    passage = " ".join(" ".join(blocks[1:]).replace(query, " ").split())
    passage = _without_name(passage, f"{module}.{name}".rsplit(".", 1)[-1])
    if len(_WORD.findall(query)) < SHORTEST_QUERY or len(_WORD.findall(passage)) < SHORTEST_PASSAGE:
        return None
    return Pair(f"{module}.{name}" if name else module, module, query, passage)


def unique_pairs(pairs: Iterator[Pair] | list[Pair]) -> list[Pair]:
    """Return the first of the pairs that share an id, a query or a passage, letter case and spacing aside."""
    seen: set[tuple[str, str]] = set()
    kept = []
    for pair in pairs:
        keys = {("id", pair.query_id), ("query", _normal(pair.query)), ("passage", _normal(pair.passage))}
        if not keys & seen:
            kept.append(pair)
        seen |= keys
    return kept


def with_negatives(pairs: list[Pair], seed: int) -> list[Triplet]:
    """Give each pair a passage of another object: of the same module if it has one, else of the same package.

    A passage that is the only one of its package has no negative and is left out.
    """
    by_module: dict[str, list[Pair]] = {}
    by_package: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_module.setdefault(pair.module, []).append(pair)
        by_package.setdefault(pair.module.partition(".")[0], []).append(pair)
    triplets = []
    for pair in pairs:
        near = by_module[pair.module]
        others = near if len(near) > 1 else by_package[pair.module.partition(".")[0]]
        if len(others) > 1:
            triplets.append(Triplet(pair.query_id, pair.query, pair.passage, _another(pair, others, seed).passage))
    return triplets


def _another(pair: Pair, others: list[Pair], seed: int) -> Pair:
    key = f"{seed}\0{pair.query_id}".encode()
    place = int.from_bytes(blake2b(key, digest_size=8).digest(), "little") % (len(others) - 1)
    return [other for other in others if other is not pair][place]


def _is_documentation(relative: Path) -> bool:
    *folders, name = relative.parts
    if name == "conftest.py" or name.startswith("test_") or _NOT_DOCUMENTATION & set(folders):
        return False
    return not any(folder.startswith("_") and folder not in _INTERNAL_BUT_PUBLIC for folder in folders)


def _blocks(docstring: str) -> list[str]:
    """Return the prose before the first section, by paragraph, and the sections that explain; without code."""
    blocks: list[str] = []
    reading = True
    for paragraph in _paragraphs(docstring):
        header = _header(paragraph)
        if header is not None:
            reading = header.lower() in _EXPLANATIONS
            paragraph = paragraph[2:] if len(paragraph) > 1 and _UNDERLINE.fullmatch(paragraph[1].strip()) else []  # noqa: PLW2901
        if reading and paragraph and not _is_code(paragraph):
            blocks.append(" ".join(" ".join(_plain(line) for line in paragraph).split()))
    return [block for block in blocks if block]


def _paragraphs(text: str) -> Iterator[list[str]]:
    paragraph: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            yield paragraph
            paragraph = []


def _header(paragraph: list[str]) -> str | None:
    first = paragraph[0].strip()
    if len(paragraph) > 1 and _UNDERLINE.fullmatch(paragraph[1].strip()):
        return first
    if _GOOGLE_SECTION.fullmatch(first):
        return first.rstrip(":")
    return None


def _is_code(paragraph: list[str]) -> bool:
    first = paragraph[0].strip()
    return first.startswith((">>>", "...", "$", "|", "+-", ".. ")) or all(line.startswith("    ") for line in paragraph)


def _plain(line: str) -> str:
    """Return a line without reStructuredText's mark-up."""
    if _DIRECTIVE.fullmatch(line.strip()):
        return ""
    return _ROLE.sub(r"\1", line).replace("``", "").replace("`", "").strip()


def _without_name(passage: str, name: str) -> str:
    if name not in passage:
        return passage
    pattern = re.compile(rf"(?<!\w)(?:\w+\.)*{re.escape(name)}(?!\w)(?:\(\))?")
    return " ".join(pattern.sub(" ", passage).split())


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())
