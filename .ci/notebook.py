"""Run the notebooks under docs/ from top to bottom and write their outputs into them: `make notebook`.

Run with the Python of .venv, in whose environment the notebooks' code runs. What libraries tell of their progress is
left out, so that a second run changes nothing but figures that were measured.
"""

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

DOCS = Path(__file__).resolve().parents[1] / "docs"
LARGEST = 500_000  # bytes; larger ones are slow to open in a browser
_SECONDS = 900  # for one cell


def run(file: Path) -> None:
    """Run one notebook in an empty folder and write it back.

    Raises:
        nbclient.exceptions.CellExecutionError: when a cell fails.
        SystemExit: when the result is too large.
    """
    notebook = nbformat.read(file, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=_SECONDS, resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    text = nbformat.writes(notebook)
    if len(text) > LARGEST:
        raise SystemExit(f"{file} would have {len(text):,} bytes; make its pictures smaller: {LARGEST:,} at most.")
    file.write_text(text + "\n", encoding="utf-8")
    print(f"{file.name}: {len(notebook.cells)} cells, {len(text):,} bytes")


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(map(str, DOCS.glob("*.ipynb"))):
        run(Path(name))
