"""``choice.html``: the candidates side by side, for the people who decide on the base model."""

from html import escape
from pathlib import Path

from components.choose.charts import front
from components.html_page import page, section, table
from components.records.choice import Candidate, Choice


def write_report(choice: Choice, path: Path) -> None:
    """Write the page: one file, no network, no script."""
    sections = [
        f'<p><span class="good">Recommended: {escape(choice.base_model)}.</span> {escape(choice.reason)}</p>',
        "\n".join(f'<p class="warning">{escape(line)}</p>' for line in choice.warnings),
        section("Candidates", table(HEADER, table_rows(choice)), f"<p class=quiet>{escape(_legend(choice))}</p>"),
        section("Quality and speed", front(choice.candidates, choice.base_model), f"<p class=quiet>{_PICTURE}</p>"),
        _failed(choice),
        section("How it was measured", f"<p>{escape(_method(choice))}</p>", table(_DETAILS, _details(choice))),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page("Choice of a base model", filter(None, sections)), encoding="utf-8")


HEADER = ("base model", "NDCG@10", "untouched", "behind", "interval", "texts/s", "ms a query", "MB", "dim", "Pareto")
_DETAILS = ("base model", "tokens read", "precision", "trained on", "steps", "seconds", "processor")
_PICTURE = (
    "Filled: after the short training, the area by size. Hollow: untouched. The line joins the Pareto front; the "
    "recommended model is green."
)


def table_rows(choice: Choice) -> list[tuple[str, ...]]:
    """Return the Pareto table as text, the best candidate first; the recommended one is marked."""
    return [_row(candidate, choice.base_model) for candidate in choice.candidates]


def _row(candidate: Candidate, chosen: str) -> tuple[str, ...]:
    low, high = candidate.interval or (0.0, 0.0)
    return (
        f"{candidate.base_model} *" if candidate.base_model == chosen else candidate.base_model,
        f"{candidate.trained:.4f}",
        f"{candidate.zero_shot:.4f}",
        f"{candidate.behind:+.4f}" if candidate.interval else "",
        f"{low:+.4f} to {high:+.4f}" if candidate.interval else "",
        f"{candidate.texts_per_second:,.0f}",
        f"{candidate.latency_ms:.1f}",
        f"{candidate.model_bytes / 1e6:,.1f}",
        str(candidate.dimension),
        "front" if candidate.on_front else f"below {candidate.dominated_by}",
    )


def _legend(choice: Choice) -> str:
    return (
        "The recommended model has a star. “behind” is the difference in NDCG@10 to the best one, with its "
        f"{choice.confidence:.0%} interval (paired bootstrap over {choice.queries:,} dev queries). On the Pareto front "
        "is whatever no other candidate matches or beats in quality, speed and size; “below” names a candidate that "
        "beats it."
    )


def _failed(choice: Choice) -> str:
    return section("Not measured", table(("base model", "reason"), choice.failed.items())) if choice.failed else ""


def _method(choice: Choice) -> str:
    bm25 = f" BM25 has {choice.bm25:.4f} on them." if choice.bm25 is not None else ""
    return (
        f"NDCG@10 of {choice.queries:,} dev queries, each searched in the same passages.{bm25} The test set was not "
        "opened: the gate judges by it, and a base model that was chosen by it would bring its luck along. Training "
        "keeps its best checkpoint by the same dev queries, which flatters all candidates alike. Speed and size are "
        "those of the exported files that would serve."
    )


def _details(choice: Choice) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for item in choice.measurements:
        if (measured := item.measured) is not None:
            training = measured.training
            trained_on = f"{training['examples']:,} examples, recipe {training['recipe']}"
            steps, seconds = training["steps"], f"{training['seconds']:.0f}"
            length, where = measured.max_seq_length, measured.processor
            found.append((item.base_model, length, measured.precision, trained_on, steps, seconds, where))
    return found
