"""The house keeps its order: what import-linter cannot see of it. docs/architecture.md says why."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = sorted(
    path for folder in ("components", "pipeline", "kserve/predictor") for path in (ROOT / folder).rglob("*.py")
)


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


@pytest.mark.parametrize("path", [path for path in PRODUCT if path.name == "component.py"], ids=place)
def test_wrapper_of_a_stage_leaves_annotations_as_they_are(path):
    """KFP reads them when it decorates: as texts they would mean nothing to it."""
    assert "from __future__ import annotations" not in path.read_text(encoding="utf-8")
