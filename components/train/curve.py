"""The loss curve and what dev gave, as a static picture in an HTML page that needs no network."""

from pathlib import Path

from markupsafe import Markup

from components.html_page import picture, render
from components.train.report import DEV_ACCURACY, DEV_NDCG, TrainingReport

_TEMPLATE = Path(__file__).with_name("curve.html")


def write_curve(report: TrainingReport, path: Path) -> None:
    """Write the page; the picture is inline SVG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    page = render(_TEMPLATE, title="Training", summary=_summary(report), picture=_picture(report))
    path.write_text(page, encoding="utf-8")


def _summary(report: TrainingReport) -> str:
    done = (
        f"{report.triplets} triplets, {report.steps} steps in {report.seconds:.0f} s ({report.triplets_per_second:.1f} "
        f"triplets/s, {report.precision}, recipe {report.recipe}); {report.judged()}"
    )
    before = report.dev_before
    if not before:
        return f"{done}."
    return f"{done} at step {report.best_step}, from {before[DEV_NDCG]:.4f} and {before[DEV_ACCURACY]:.4f} before."


def _picture(report: TrainingReport) -> Markup:
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
    return picture(figure, "Training loss, and accuracy and NDCG@10 on dev, by step")


def _series(report: TrainingReport, name: str) -> tuple[list[float], list[float]]:
    entries = [entry for entry in report.history if name in entry]
    return [entry["step"] for entry in entries], [entry[name] for entry in entries]
