"""The pictures of ``evaluation.html``."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from components.gate.statistics import Values
from components.html_page import picture

_BETTER, _WORSE, _INK = "#2a8f5a", "#c0392b", "#1c2430"
#: Points in the picture of all queries: about as many as it is wide.
_POINTS = 600


class Gain(NamedTuple):
    """A mean gain in NDCG@10 and its confidence interval."""

    name: str
    mean: float
    low: float
    high: float


def sorted_differences(differences: Values, counts: str) -> Markup:
    """Gain by query, in descending order; `counts` is its description in words."""
    from matplotlib.figure import Figure

    places = np.arange(len(differences))
    if len(differences) > _POINTS:
        places = np.linspace(0, len(differences) - 1, _POINTS).astype(int)
    shown = differences[places]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axis = figure.subplots()
    axis.fill_between(places, shown, 0, where=shown >= 0, step="mid", color=_BETTER)
    axis.fill_between(places, shown, 0, where=shown <= 0, step="mid", color=_WORSE)
    axis.axhline(0, color=_INK, linewidth=0.8)
    axis.set(xlabel="queries, most improved first", ylabel="gain in NDCG@10", ylim=(-1.05, 1.05))
    return picture(figure, f"NDCG@10 of the candidate minus that of the champion by query, sorted: {counts}")


def intervals(gains: Sequence[Gain]) -> Markup:
    """Mean gains with their intervals, one line each, the first on top."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.8 + 0.3 * len(gains)), layout="constrained")
    axis = figure.subplots()
    for place, gain in enumerate(gains):
        color = _BETTER if gain.low > 0 else _WORSE if gain.high < 0 else "#7b8794"
        axis.plot([gain.low, gain.high], [place, place], color=color, linewidth=2)
        axis.plot(gain.mean, place, "o", color=color)
    axis.axvline(0, color=_INK, linewidth=0.8)
    axis.set_yticks(range(len(gains)), [_literal(gain.name) for gain in gains])
    axis.set(xlabel="gain in NDCG@10", ylim=(len(gains) - 0.5, -0.5))
    described = "; ".join(f"{gain.name} {gain.mean:+.4f}" for gain in gains)
    return picture(figure, f"Gain in NDCG@10 with its interval: {described}")


def _literal(name: str) -> str:
    """Return a label that matplotlib does not read as mathematics."""
    return name.replace("$", r"\$")
