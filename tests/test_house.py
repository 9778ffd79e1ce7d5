"""The house keeps its order: what import-linter cannot see of it. docs/architecture.md says why."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = sorted(
    path for folder in ("components", "pipeline", "kserve/predictor") for path in (ROOT / folder).rglob("*.py")
)

EVERY = sorted(
    {*PRODUCT, *(path for folder in ("tests", "manifests", ".ci") for path in (ROOT / folder).rglob("*.py"))}
)
LINES, STEPS = 300, 40
#: The pipeline is one function with all parameters in its signature: so KFP reads it, and so a person reads the DAG.
ONE_PIECE = {"pipeline/dag.py"}


def place(path):
    return str(path.relative_to(ROOT))


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part not in {"kserve", "__init__"})


@pytest.mark.parametrize("path", [path for path in PRODUCT if path.name == "__init__.py"], ids=place)
def test_package_init_holds_one_docstring_and_no_code(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert len(tree.body) == 1, "move the code to a module of the package"
    assert ast.get_docstring(tree)


def test_every_package_of_the_product_has_an_init():
    folders = {path.parent for path in PRODUCT}
    assert [place(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_kserve_itself_is_no_package():
    assert not (ROOT / "kserve" / "__init__.py").exists(), "it would hide the library of that name"


def test_no_module_imports_a_private_name_of_another():
    modules = {module_of(path) for path in PRODUCT}
    found = [
        f"{place(path)}:{node.lineno} imports {alias.name} from {node.module}"
        for path in PRODUCT
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in modules
        for alias in node.names
        if alias.name.startswith("_")
    ]
    assert found == []


def test_openvino_is_opened_in_one_place():
    found = [place(path) for path in PRODUCT if "ov.Core(" in path.read_text(encoding="utf-8")]
    assert found == ["components/model/runtime.py"], "use its `openvino_core`: signals crash a process that closes one"


@pytest.mark.parametrize("path", [path for path in PRODUCT if path.name == "component.py"], ids=place)
def test_wrapper_of_a_stage_leaves_annotations_as_they_are(path):
    """KFP reads them when it decorates: as texts they would mean nothing to it."""
    assert "from __future__ import annotations" not in path.read_text(encoding="utf-8")


def test_no_file_is_too_long():
    lengths = {place(path): len(path.read_text(encoding="utf-8").splitlines()) for path in EVERY}
    long = {name: length for name, length in lengths.items() if length > LINES}
    assert long == {}, f"split these by concept; a file has up to {LINES} lines"


def functions_of(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def steps_of(function):
    """The lines of a function below its signature and its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return function.end_lineno - body[0].lineno + 1 if body else 0


def test_no_function_is_too_long():
    found = {
        f"{place(path)}:{function.name}": steps_of(function)
        for path in EVERY
        if place(path) not in ONE_PIECE
        for function in functions_of(path)
        if steps_of(function) > STEPS
    }
    assert found == {}, f"split these by step; below its docstring a function has up to {STEPS} lines"
