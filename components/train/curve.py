"""The loss curve and what dev gave, as a static picture in an HTML page that needs no network."""

import io
from html import escape
from pathlib import Path

from components.train.report import DEV_ACCURACY, DEV_NDCG, TrainingReport


def write_curve(report: TrainingReport, path: Path) -> None:
    """Write the page; the picture is inline SVG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_PAGE.format(summary=escape(_summary(report)), picture=_picture(report)), encoding="utf-8")


def _summary(report: TrainingReport) -> str:
    done = (
        f"{report.triplets} triplets, {report.steps} steps in {report.seconds:.0f} s ({report.triplets_per_second:.1f} "
        f"triplets/s, {report.precision}, recipe {report.recipe}); {report.judged()}"
    )
    before = report.dev_before
    if not before:
        return f"{done}."
    return f"{done} at step {report.best_step}, from {before[DEV_NDCG]:.4f} and {before[DEV_ACCURACY]:.4f} before."


def _picture(report: TrainingReport) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    loss_axis = figure.subplots()
    loss_axis.plot(*_series(report, "loss"), color="tab:blue", label="training loss")
    loss_axis.set(xlabel="step", ylabel="loss")
    dev_axis = loss_axis.twinx()
    dev_axis.plot(*_series(report, f"eval_{DEV_ACCURACY}"), "o-", color="tab:orange", label="dev accuracy")
    dev_axis.plot(*_series(report, f"eval_{DEV_NDCG}"), "s-", color="tab:green", label="dev NDCG@10")
    dev_axis.set(ylabel="dev")
    figure.legend(loc="outside upper center", ncols=3)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]


def _series(report: TrainingReport, name: str) -> tuple[list[float], list[float]]:
    entries = [entry for entry in report.history if name in entry]
    return [entry["step"] for entry in entries], [entry[name] for entry in entries]


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Training</title></head>
<body style="font-family: sans-serif; max-width: 60rem; margin: 2rem auto"><h1>Training</h1>
<p>{summary}</p>
{picture}
</body></html>
"""
