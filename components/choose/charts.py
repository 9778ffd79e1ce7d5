"""The picture of ``choice.html``."""

from collections.abc import Sequence

from components.html_page import picture
from components.records.choice import Candidate

_FRONT, _OTHER, _CHOSEN = "#2563eb", "#7b8794", "#14693a"
_AREA = 900.0  # of the largest model's point


def front(candidates: Sequence[Candidate], chosen: str) -> str:
    """Draw NDCG@10 against speed, one point for each candidate, its area by size; the Pareto front is joined."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axis = figure.subplots()
    largest = max(candidate.model_bytes for candidate in candidates)
    for candidate in candidates:
        color = _CHOSEN if candidate.base_model == chosen else _FRONT if candidate.on_front else _OTHER
        speed = candidate.texts_per_second
        axis.plot([speed, speed], [candidate.zero_shot, candidate.trained], color=color, linewidth=0.8, linestyle=":")
        axis.scatter(speed, candidate.zero_shot, s=18, facecolors="none", edgecolors=color)
        axis.scatter(speed, candidate.trained, s=_area(candidate.model_bytes, largest), color=color, alpha=0.6)
        name = _literal(_short(candidate.base_model))
        axis.annotate(name, (speed, candidate.trained), xytext=(10, 6), textcoords="offset points", fontsize=9)
    points = sorted((item.texts_per_second, item.trained) for item in candidates if item.on_front)
    axis.plot(*zip(*points, strict=True), color=_FRONT, linewidth=0.8)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.margins(0.25, 0.2)
    axis.set(xlabel="texts encoded per second (logarithmic)", ylabel="NDCG@10 on dev")
    described = "; ".join(
        f"{item.base_model} {item.trained:.4f} at {item.texts_per_second:,.0f} texts/s" for item in candidates
    )
    return picture(figure, f"NDCG@10 after training against speed: {described}")


def _area(size: int, largest: int) -> float:
    return max(24.0, _AREA * size / max(1, largest))


def _short(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]


def _literal(name: str) -> str:
    """Return a label that matplotlib does not read as mathematics."""
    return name.replace("$", r"\$")
