import ast
import os
import subprocess
import sys
from collections import Counter

import pytest

from components.errors import DataError
from components.prepare.raw.docstring_scan import docstrings
from components.prepare.raw.docstrings import package_directory, package_pairs, pair_of, unique_pairs, with_negatives

NUMPYDOC = """
    Compute the norm of a vector.

    The function `vector_norm` sums the squares of all entries and takes the square root of
    that sum, see :func:`numpy.sqrt`.

    Parameters
    ----------
    x : array_like
        The vector.

    Notes
    -----
    It is never negative.

    Examples
    --------
    >>> vector_norm([3, 4])
    5.0
"""


def test_summary_asks_and_description_answers():
    pair = pair_of("vector_norm", NUMPYDOC, "package.linalg")

    assert pair.query == "Compute the norm of a vector."
    assert pair.query_id == "package.linalg.vector_norm"
    assert pair.passage.startswith("The function sums the squares of all entries")
    assert pair.passage.endswith("It is never negative.")


def test_the_passage_gives_nothing_away():
    passage = pair_of("vector_norm", NUMPYDOC.replace("never", "vector_norm() never"), "package.linalg").passage

    assert "vector_norm" not in passage
    assert "Compute the norm of a vector." not in passage
    for leftover in ("Parameters", "Notes", "-----", ">>>", "`"):
        assert leftover not in passage


@pytest.mark.parametrize(
    "docstring",
    [
        "One line.",
        "Sum up.\n\nToo short.",
        "Run\n\nThis text is long enough to be a passage that says something to the reader.",
    ],
    ids=["no description", "short description", "short summary"],
)
def test_what_says_too_little_is_no_pair(docstring):
    assert pair_of("f", docstring, "package") is None


def test_a_negative_comes_from_the_same_module_and_is_another_text():
    body = "This long explanation of number {} says what it does and why one would want that."
    pairs = [pair_of(f"f{n}", f"Do the thing number {n}.\n\n{body.format(n)}", f"package.m{n % 3}") for n in range(30)]
    module_of = {pair.passage: pair.module for pair in pairs}
    triplets = with_negatives(pairs, seed=1)

    assert len(triplets) == 30
    assert all(module_of[triplet.negative] == module_of[triplet.positive] for triplet in triplets)
    assert all(triplet.negative != triplet.positive for triplet in triplets)
    assert with_negatives(pairs, seed=2) != triplets


def test_a_module_with_one_passage_borrows_from_its_package():
    body = "This long explanation of {} says what it does and why one would want that."
    pairs = [pair_of("f", f"Do the thing of {name}.\n\n{body.format(name)}", f"package.{name}") for name in ("a", "b")]
    assert [triplet.negative for triplet in with_negatives(pairs, seed=1)] == [pairs[1].passage, pairs[0].passage]


def test_duplicates_are_dropped():
    pair = pair_of("vector_norm", NUMPYDOC, "package.linalg")
    same_query = pair._replace(query_id="b", passage="another passage")
    same_passage = pair._replace(query_id="c", query="ANOTHER  query", passage=pair.passage.upper())
    assert unique_pairs([pair, same_query, same_passage]) == [pair]


def test_docstrings_are_found_where_python_finds_them():
    """On all of networkx: the same objects and the same texts as a full parse gives."""

    def parsed(node, prefix):
        is_documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        text = ast.get_docstring(node, clean=False) if is_documented else None
        if text and "\n" in text.strip():
            yield prefix, text
        for child in ast.iter_child_nodes(node):
            name = getattr(child, "name", "") if isinstance(child, ast.ClassDef | ast.FunctionDef) else ""
            yield from parsed(child, f"{prefix}.{name}".strip("."))

    directory = package_directory("networkx")
    sources = [path.read_text() for path in sorted(directory.rglob("*.py")) if "tests" not in path.parts]
    for source in sources:
        assert Counter(docstrings(source)) == Counter(parsed(ast.parse(source), ""))
    assert len(sources) > 200


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('def f(a="x:y", b=[1]):\n    """A\n\n    B"""\n', [("f", "A\n\n    B")]),
        ('class C(Base[int]):  # why\n    r"""A\n\\b"""\n', [("C", "A\n\\b")]),
        ('def f():\n    x = """A\n\n    B"""\n', []),
        ("async def f() -> dict[str, int]:\n    '''A\n    \\\"B'''\n", [("f", 'A\n    "B')]),
        ('add_newdoc("numpy", "add",\n    """\n    A\n    B\n    """)\n', [("add", "\n    A\n    B\n    ")]),
        ('class A:\n  def f(self):\n    """X\nY"""\ndef g():\n  """Z\nW"""\n', [("A.f", "X\nY"), ("g", "Z\nW")]),
        ('"""never closed\n', []),
    ],
    ids=["defaults", "raw", "assignment", "escape", "written in C", "nesting", "unclosed"],
)
def test_where_a_docstring_may_stand(source, expected):
    assert list(docstrings(source)) == expected


def test_the_same_bytes_whatever_the_hash_seed():
    program = (
        "from components.prepare.raw.docstrings import *; from components.machine.digest import records_sha256;"
        "pairs = unique_pairs(package_pairs('networkx', package_directory('networkx')));"
        "print(len(pairs), records_sha256(text for triplet in with_negatives(pairs, 42) for text in triplet))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert int(outputs.pop().split()[0]) > 900


def test_a_package_that_is_not_installed_is_named():
    with pytest.raises(DataError, match=r"documentation of no_such_package.*ranklift\[demo\]"):
        package_directory("no_such_package")


def test_sources_are_visited_in_the_order_of_their_names(tmp_path):
    for name in ("b.py", "a.py", "tests/test_a.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f'def f():\n    """Do the thing in {name}.\n\n    {NUMPYDOC.strip()}\n    """\n')
    assert [pair.module for pair in package_pairs("package", tmp_path)] == ["package.a", "package.b"]
