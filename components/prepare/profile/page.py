"""``profile.html``: what people look at before they trust a dataset; one static file, no script, no network."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from markupsafe import Markup

from components.dataset.manifest import Rule
from components.html_page import render, table
from components.prepare.profile.data import ProfileData, common_words
from components.prepare.profile.plots import count_plot, length_plot, overlap_plot

_TEMPLATE = Path(__file__).with_name("page.html")
_LONGEST = 600  # characters of a passage that are shown


def write_profile(path: Path, data: ProfileData) -> None:
    """Write the profile of a dataset version."""
    manifest = data.manifest
    page = render(
        _TEMPLATE,
        title="Dataset profile",
        manifest=manifest,
        rules=_rules(data),
        example_table=_example_table,
        measured=len(data.lengths["query"]),
        lengths=_lengths(data),
        length_plot=length_plot(data.lengths, manifest.token_lengths, manifest.max_seq_length),
        overlap={name: fmean(values) if values else 0.0 for name, values in data.overlap.items()},
        overlap_plot=overlap_plot(data.overlap),
        words=[word for word, _ in common_words(triplet.query for triplet in data.samples)],
        grades_plot=count_plot(data.grades, "relevance of a judgement"),
        judgements_plot=count_plot(data.judgements, "relevant passages of a query"),
        worst=_worst(data),
        generated=_generated(data),
        samples=data.samples,
        short=_short,
        settings=[(name, str(value)) for name, value in manifest.settings.items()],
    )
    path.write_text(page, encoding="utf-8")


def _rules(data: ProfileData) -> list[Sequence[object]]:
    raw = max(1, data.manifest.counts["raw"])
    return [(_described(rule), rule.dropped, f"{rule.dropped / raw:.1%}") for rule in data.manifest.rules]


def _described(rule: Rule) -> str:
    if not rule.kept:
        return rule.description
    found = "1 row was found and kept" if rule.kept == 1 else f"{rule.kept:,} rows were found and kept"
    return f"{rule.description} ({found})"


def _example_table(rule: Rule) -> Markup:
    names = list(rule.examples[0])
    return table(names, [[str(example.get(name, "")) for name in names] for example in rule.examples])


def _lengths(data: ProfileData) -> list[Sequence[object]]:
    limit = data.manifest.max_seq_length
    return [
        (name, found.p50, found.p95, found.p99, found.longest, f"{_cut(data.lengths[name], limit):.1%}")
        for name, found in data.manifest.token_lengths.items()
    ]


def _cut(lengths: Sequence[int], limit: int) -> float:
    return sum(length > limit for length in lengths) / max(1, len(lengths))


def _worst(data: ProfileData) -> list[Sequence[Any]]:
    found = data.manifest.false_negatives
    examples = [] if found is None else found["worst"]
    return [
        (
            example["query"],
            _short(example["positive"]),
            _short(example["negative"]),
            f"{example['positive_similarity']:.2f}",
            f"{example['negative_similarity']:.2f}",
        )
        for example in examples
    ]


def _generated(data: ProfileData) -> list[Sequence[Any]]:
    found = data.manifest.generated
    return [] if found is None else [(one["query"], _short(one["passage"])) for one in found["examples"]]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
