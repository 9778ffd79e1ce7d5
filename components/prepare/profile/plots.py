"""The profile's figures as SVG, drawn by matplotlib: static, the same bytes for the same numbers."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from components.dataset.manifest import Percentiles
from components.prepare.profile.data import histogram

_COLORS = {"query": "#2563eb", "positive": "#15803d", "negative": "#b45309"}
_SETTINGS: Any = {
    "svg.hashsalt": "ranklift",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def length_plot(lengths: Mapping[str, Sequence[int]], percentiles: Mapping[str, Percentiles], chosen: int) -> Markup:
    """Token lengths of every column, with their 50th, 95th and 99th percentiles and the chosen `max_seq_length`."""
    figure, axes = _figure(len(lengths), height=2.1)
    for axis, (name, values) in zip(axes, lengths.items(), strict=True):
        edges, counts = histogram(values)
        axis.stairs(counts, edges, fill=True, color=_COLORS[name], alpha=0.55)
        for label, value in (
            ("50%", percentiles[name].p50),
            ("95%", percentiles[name].p95),
            ("99%", percentiles[name].p99),
        ):
            if value <= edges[-1]:
                axis.axvline(value, color="#475569", linewidth=0.8, linestyle=":")
                axis.text(value, 1.0, label, transform=axis.get_xaxis_transform(), fontsize=7, ha="center", va="bottom")
        if chosen <= edges[-1]:
            axis.axvline(chosen, color="#dc2626", linewidth=1.2)
        axis.set_xlabel(f"tokens in a {name}" + (f" (cut at {chosen}, red)" if chosen <= edges[-1] else ""))
    axes[0].set_ylabel("texts in the sample")
    return _svg(figure)


def overlap_plot(overlap: Mapping[str, Sequence[float]]) -> Markup:
    """Return the share of the query's words that positives and negatives have: how far words alone tell them apart."""
    figure, (axis,) = _figure(1, height=2.3, width=6)
    for name, values in overlap.items():
        axis.hist(values, bins=20, range=(0, 1), histtype="step", linewidth=1.6, color=_COLORS[name], label=name)
    axis.set_xlabel("share of the query's words in the passage")
    axis.set_ylabel("triplets")
    axis.legend(frameon=False)
    return _svg(figure)


def count_plot(counts: Mapping[int, int], label: str) -> Markup:
    """Bars of a count by a small integer; what goes beyond 12 values is summed up in the last bar."""
    figure, (axis,) = _figure(1, height=2.0, width=5)
    keys = sorted(counts)
    names = [str(key) for key in keys[:12]] + (["more"] if len(keys) > 12 else [])
    places = range(len(names))
    heights = [counts[key] for key in keys[:12]] + ([sum(counts[key] for key in keys[12:])] if len(keys) > 12 else [])
    axis.bar(places, heights, color="#2563eb", alpha=0.7, width=0.6)
    axis.bar_label(axis.containers[0], fontsize=8)
    axis.set_xticks(places, names)
    axis.set_xlabel(label)
    return _svg(figure)


def _figure(columns: int, height: float, width: float = 10) -> tuple[Any, list[Any]]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # A Figure object, not pyplot: no window system, no state shared with the caller.
    with rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height))
        axes = figure.subplots(1, columns, squeeze=False)
        # Fixed margins: an automatic layout draws everything twice.
        figure.subplots_adjust(left=0.8 / width, right=0.98, top=0.88, bottom=0.5 / height, wspace=0.2)
    return figure, list(axes[0])


def _svg(figure: Any) -> Markup:
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context(_SETTINGS):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return Markup(text[text.index("<svg") :])  # noqa: S704 - drawn by matplotlib, which escapes its labels
