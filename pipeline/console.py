"""What commands print: results on standard output, all else on standard error."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]


def tell(line: str) -> None:
    """Show a line to the person who waits, on standard error."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def progress_display() -> Iterator[Callable[[str], None]]:
    """Return a `tell` that on a terminal also shows, below the lines so far, what goes on and for how long."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield tell
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
        task = progress.add_task("starting")

        def show(line: str) -> None:
            progress.console.print(line, highlight=False, markup=False)
            progress.reset(task, description=line.strip())

        yield show


@contextmanager
def working(stage: str) -> Iterator[None]:
    """While a stage runs, show that it goes on; what libraries print goes to standard error, not into the result."""
    with progress_display() as show, redirect_stdout(sys.stderr):
        show(f"{stage} …")
        yield


def open_page(page: Path) -> None:
    """Open a page of this machine in the browser, where there is one."""
    import webbrowser

    webbrowser.open(page.resolve().as_uri())


def answer(document: dict[str, Any] | list[Any], text: str, as_json: bool) -> None:
    """Print a command's result: the document when JSON was asked for, the text otherwise."""
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(document, indent=2, ensure_ascii=not is_utf8, default=str) if as_json else text, flush=True)


def table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """Return a plain table with aligned columns: numbers to the right, the rest to the left."""
    cells = [tuple(map(str, row)) for row in rows]
    widths = [max(len(row[column]) for row in (header, *cells)) for column in range(len(header))]
    right = [all(isinstance(row[column], int | float) for row in rows) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in (header, *cells)
    )
