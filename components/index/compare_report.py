"""A comparison of two indexes for people: a page, a few lines, or a document for programs."""

from html import escape
from typing import Any

from components.html_page import page, section, table
from components.index.compare import Change, Comparison, Hit, Side

_LONGEST = 280  # characters of a passage that are shown
_SHOWN = 3  # passages of each side in the lines for a terminal


def report(comparison: Comparison, previous: Side, new: Side) -> str:
    """Return the page: how much the indexes agree, then the queries that changed most, both rankings side by side."""
    title = f"Index {previous.version} and index {new.version}"
    return page(title, [_figures(comparison, previous, new), _all_changes(comparison, previous, new)])


def document(comparison: Comparison, previous: Side, new: Side) -> dict[str, Any]:
    """Return the comparison as JSON."""
    return {
        "previous": _identity(previous),
        "new": _identity(new),
        "queries": comparison.queries,
        "agreement": comparison.agreement,
        "same": comparison.same,
        "changes": [
            {
                "query_id": change.query_id,
                "query": change.query,
                "agreement": change.agreement,
                "relevant": sorted(change.relevant),
                "previous": [hit._asdict() for hit in change.previous],
                "new": [hit._asdict() for hit in change.new],
            }
            for change in comparison.changes
        ],
    }


def lines(comparison: Comparison, previous: Side, new: Side) -> str:
    """Return what a terminal shows: the figures, and the top of each changed query."""
    head = (
        f"{previous.version} and {new.version} agree on {comparison.agreement:.1%} of the ten best passages, averaged "
        f"over {comparison.queries} queries; {comparison.same} find the very same ranking."
    )
    blocks = [head]
    for change in comparison.changes:
        pairs = zip(_tops(change.previous, change), _tops(change.new, change), strict=True)
        rows = "\n".join(f"  {left:<38}  {right}" for left, right in pairs)
        blocks.append(f"{change.query}  (agreement {change.agreement:.2f})\n{rows}")
    return "\n\n".join(blocks)


def _tops(hits: list[Hit], change: Change) -> list[str]:
    shown = [f"{'*' if hit.id in change.relevant else ' '}{hit.score:7.4f} {hit.id[:28]}" for hit in hits[:_SHOWN]]
    return shown + [""] * (_SHOWN - len(shown))


def _identity(side: Side) -> dict[str, Any]:
    manifest = side.index.manifest
    return {
        "index_version": side.version,
        "index_digest": manifest.digest,
        "model_version": manifest.model.version,
        "model_digest": manifest.model.digest,
        "passages": manifest.count,
        "corpus_digest": manifest.corpus.digest,
    }


def _figures(comparison: Comparison, previous: Side, new: Side) -> str:
    before, after = _identity(previous), _identity(new)
    rows = [(name.replace("_", " "), _short(before[name]), _short(after[name])) for name in before]
    agreed = (
        f"<p>The ten best passages agree to <b>{comparison.agreement:.1%}</b>, averaged over depths 1 to 10 and over "
        f"{comparison.queries:,} queries; {comparison.same:,} find the very same ranking.</p>"
    )
    return section("How much they agree", agreed, table(("", "previous", "new"), rows))


def _short(value: object) -> str:
    return value[:12] if isinstance(value, str) else f"{value:,}"


def _all_changes(comparison: Comparison, previous: Side, new: Side) -> str:
    if not comparison.changes:
        return section("What changed", "<p>No query finds another ranking.</p>")
    articles = [_article(change, previous.version, new.version) for change in comparison.changes]
    return section(f"The {len(articles)} queries that changed most", *articles)


def _article(change: Change, previous: str, new: str) -> str:
    sides = "".join(
        f"<div><p class=quiet>{escape(name)}</p><ol>{''.join(_item(hit, change) for hit in hits)}</ol></div>"
        for name, hits in ((previous, change.previous), (new, change.new))
    )
    head = f"<p><b>{escape(change.query)}</b> <span class=quiet>agreement {change.agreement:.2f}</span></p>"
    return f"<article>{head}<div class=sides>{sides}</div></article>"


def _item(hit: Hit, change: Change) -> str:
    marks = ""
    if hit.id in change.relevant:
        marks += "<span class=good>relevant</span> "
    if hit.is_new:
        marks += "<span class=bad>not in the other index</span> "
    text = hit.text if len(hit.text) <= _LONGEST else f"{hit.text[:_LONGEST].rstrip()}…"
    return f"<li>{marks}<span class=quiet>{hit.score:.4f} {escape(hit.id)}</span> {escape(text)}</li>"
