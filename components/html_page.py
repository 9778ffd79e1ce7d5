"""Static HTML pages for people: one file, no network, no script."""

import io
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What is aligned to the right: a number with sign and separators, or nothing.
_NUMBER = re.compile(r"[-+]?[\d,.]*")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2430; max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
table { border-collapse: collapse; margin: .6rem 0 } caption { text-align: left; color: #5b6776 }
th, td { padding: .25rem .8rem; border-bottom: 1px solid #dde3ea; text-align: left; vertical-align: top }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
.good { color: #14693a; font-weight: 600 } .bad { color: #a3231c; font-weight: 600 } .quiet { color: #5b6776 }
.warning { border-left: 4px solid #c77700; background: #fff6e5; padding: .5rem .9rem }
article { border: 1px solid #dde3ea; border-radius: 6px; padding: .4rem 1rem; margin: .8rem 0 }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: 1.5rem } ol { padding-left: 1.4rem }
svg { max-width: 100%; height: auto }
"""


def page(title: str, sections: Iterable[str]) -> str:
    """Return a whole page from HTML sections; the title is escaped, the sections are taken as they are."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{escape(title)}</h1>\n"
        + "\n".join(sections)
        + "\n</body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    """Return a section under a heading; the title is escaped, the parts are taken as they are."""
    return f"<h2>{escape(title)}</h2>\n" + "\n".join(parts)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table of escaped cells; numbers are aligned to the right, small floats have four decimals."""
    body = [list(row) for row in rows]
    numeric = [_numeric(row[column] for row in body) for column in range(len(header))]
    lines = [_row("th", header, numeric), *(_row("td", row, numeric) for row in body)]
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def picture(figure: "Figure", description: str) -> str:
    """Return a figure as inline SVG, the same bytes for the same figure; screen readers read the description."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "ranklift", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return f'<div role="img" aria-label="{escape(description)}">{svg[svg.index("<svg") :]}</div>'


def _numeric(cells: Iterable[object]) -> bool:
    return all(_NUMBER.fullmatch(_show(cell)) for cell in cells)


def _row(tag: str, cells: Sequence[object], numeric: Sequence[bool]) -> str:
    shown = (
        f"<{tag}{' class=number' if right else ''}>{escape(_show(cell))}</{tag}>"
        for cell, right in zip(cells, numeric, strict=True)
    )
    return "<tr>" + "".join(shown) + "</tr>"


def _show(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return str(cell)
    return f"{cell:,.4f}" if isinstance(cell, float) and abs(cell) < 1000 else f"{cell:,.0f}"
