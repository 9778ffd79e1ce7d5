"""The notebooks under docs/ were run from top to bottom, and use what there is; `make notebook` runs them again."""

import ast
import json
from pathlib import Path
from tempfile import gettempdir

import pytest

from pipeline import api

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOKS = sorted(DOCS.glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda file: file.name)
def notebook(request):
    return json.loads(request.param.read_text())


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_there_is_a_notebook_and_none_is_large():
    assert NOTEBOOKS
    assert [file.name for file in NOTEBOOKS if file.stat().st_size > 500_000] == []


def test_a_notebook_was_run_from_top_to_bottom_without_an_error(notebook):
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"execute_result", "display_data", "stream"}
    assert any("image/png" in output.get("data", {}) for output in outputs), "no plot"


def test_a_notebook_shows_no_path_of_the_machine_that_ran_it(notebook):
    assert gettempdir() not in json.dumps(notebook)


def test_a_notebook_imports_only_what_is_public_of_ranklift(notebook):
    trees = [ast.parse("".join(cell["source"])) for cell in code_cells(notebook)]
    imports = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imports if node.module.split(".")[0] in ("components", "pipeline", "predictor")]
    assert {node.module for node in ours} == {"pipeline.api"}
    assert {name.name for node in ours for name in node.names} <= set(api.__all__)
