"""Static HTML pages for people: one file, no network, no script.

A page is a jinja2 template beside the code that fills it, which extends ``html_page.html``. Everything that is put into
a template is escaped, except `Markup`, which `table` and `picture` return.
"""

import io
import re
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What is aligned to the right: a number with sign and separators, or nothing.
_NUMBER = re.compile(r"[-+]?[\d,.]*%?")
_COMPONENTS = Path(__file__).parent


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_COMPONENTS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["table"] = table
    return environment


def render(template: Path, **values: object) -> str:
    """Return a template of ``components/`` filled with values; `table(header, rows)` can be called in it.

    Args:
        template: the file.
        values: what the template names; a name that is missing is an error.
    """
    return _environment().get_template(template.relative_to(_COMPONENTS).as_posix()).render(values)


def page(title: str, sections: Iterable[str]) -> str:
    """Return a whole page from HTML sections; the title is escaped, the sections are taken as they are."""
    body = Markup("\n").join(map(_as_it_is, sections))
    return render(_COMPONENTS / "html_page.html", title=title, body=body)


def section(title: str, *parts: str) -> Markup:
    """Return a section under a heading; the title is escaped, the parts are taken as they are."""
    return Markup("<h2>{}</h2>\n{}").format(title, Markup("\n").join(map(_as_it_is, parts)))


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Markup:
    """Return a table of escaped cells; numbers are aligned to the right, small floats shown with four decimals."""
    body = [[_show(cell) for cell in row] for row in rows]
    right = [all(_NUMBER.fullmatch(row[column]) for row in body) for column in range(len(header))]
    return _as_it_is(render(_COMPONENTS / "html_table.html", header=header, rows=body, right=right))


def _as_it_is(html: str) -> Markup:
    return Markup(html)  # noqa: S704 - HTML that this module, or a caller of `page`, made


def picture(figure: "Figure", description: str) -> Markup:
    """Return a figure as inline SVG, the same bytes for the same figure; screen readers read the description."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "ranklift", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return _as_it_is(f'<div role="img" aria-label="{escape(description)}">{svg[svg.index("<svg") :]}</div>')


def _show(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return str(cell)
    return f"{cell:,.4f}" if isinstance(cell, float) and abs(cell) < 1000 else f"{cell:,.0f}"
