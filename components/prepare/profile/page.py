"""``profile.html``: what people look at before they trust a dataset; one static file, no script, no network."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from statistics import fmean

from components.dataset.manifest import Rule
from components.prepare.profile.data import ProfileData, common_words
from components.prepare.profile.plots import count_plot, length_plot, overlap_plot

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1e293b;max-width:64rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid #e2e8f0}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.25rem .6rem;vertical-align:top;border-bottom:1px solid #e2e8f0}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}svg{max-width:100%;height:auto}
details{margin:.3rem 0}code{font-size:.85em;overflow-wrap:anywhere}.quiet{color:#64748b}
.cards{display:flex;flex-wrap:wrap;gap:.8rem}
.card{border:1px solid #e2e8f0;border-radius:.5rem;padding:.5rem 1rem;min-width:7rem}
.card b{display:block;font-size:1.3rem}
blockquote{margin:.4rem 0 1.2rem;padding-left:1rem;border-left:3px solid #cbd5e1}.positive{color:#15803d}
.negative{color:#b45309}
"""
_LONGEST = 600  # characters of a passage that are shown


def write_profile(path: Path, data: ProfileData) -> None:
    """Write the profile of a dataset version."""
    sections = [
        _head(data),
        _rules(data),
        _lengths(data),
        _overlap(data),
        _labels(data),
        _false_negatives(data),
        _samples(data),
        _settings(data),
    ]
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Dataset profile</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"{''.join(sections)}</body></html>\n"
    )
    path.write_text(page, encoding="utf-8")


def _head(data: ProfileData) -> str:
    manifest = data.manifest
    cards = "".join(
        f'<div class="card"><b>{number:,}</b>{escape(name)}</div>' for name, number in manifest.counts.items()
    )
    return (
        f"<h1>Dataset profile</h1><p>From <code>{escape(manifest.source)}</code>, seed {manifest.seed}. Digest "
        f"<code>{manifest.digest[:16]}</code>, evaluation set <code>{manifest.evaluation_digest[:16]}</code>.</p>"
        f'<div class="cards">{cards}</div>{_folds(manifest.folds)}'
    )


def _folds(folds: int) -> str:
    if not folds:
        return ""
    return (
        f"<p>All judged queries are trained on, and cross-validated in {folds} folds: each is judged by a model that "
        "was trained without its fold.</p>"
    )


def _rules(data: ProfileData) -> str:
    raw = max(1, data.manifest.counts["raw"])
    rows = [(_described(rule), f"{rule.dropped:,}", f"{rule.dropped / raw:.1%}") for rule in data.manifest.rules]
    dropped = "".join(_rule_examples(rule) for rule in data.manifest.rules if rule.examples)
    return (
        f"<h2>What was dropped</h2>{_table(('rule', 'rows', 'share of the raw rows'), rows, numbers=(1, 2))}"
        f"{dropped or '<p class=quiet>Nothing was dropped.</p>'}"
    )


def _described(rule: Rule) -> str:
    if not rule.kept:
        return rule.description
    found = "1 row was found and kept" if rule.kept == 1 else f"{rule.kept:,} rows were found and kept"
    return f"{rule.description} ({found})"


def _rule_examples(rule: Rule) -> str:
    names = list(rule.examples[0])
    rows = [[str(example.get(name, "")) for name in names] for example in rule.examples]
    return f"<details><summary>Examples: {escape(rule.description)}</summary>{_table(names, rows)}</details>"


def _lengths(data: ProfileData) -> str:
    manifest = data.manifest
    rows = [
        (
            name,
            f"{p.p50}",
            f"{p.p95}",
            f"{p.p99}",
            f"{p.longest}",
            f"{_cut(data.lengths[name], manifest.max_seq_length):.1%}",
        )
        for name, p in manifest.token_lengths.items()
    ]
    head = ("tokens", "50%", "95%", "99%", "longest", "cut off")
    return (
        f"<h2>Lengths</h2><p><b>max_seq_length {manifest.max_seq_length}</b>, measured with the tokenizer of "
        f"<code>{escape(manifest.base_model)}</code> on {len(data.lengths['query']):,} training triplets.</p>"
        f"{length_plot(data.lengths, manifest.token_lengths, manifest.max_seq_length)}"
        f"{_table(head, rows, numbers=(1, 2, 3, 4, 5))}"
    )


def _cut(lengths: Sequence[int], limit: int) -> float:
    return sum(length > limit for length in lengths) / max(1, len(lengths))


def _overlap(data: ProfileData) -> str:
    means = {name: fmean(values) if values else 0.0 for name, values in data.overlap.items()}
    words = ", ".join(word for word, _ in common_words(triplet.query for triplet in data.samples))
    return (
        "<h2>Words that query and passage share</h2><p>On average a positive has "
        f"<b>{means['positive']:.0%}</b> of the query's words and a negative <b>{means['negative']:.0%}</b>. The "
        "closer the two, the less is to be won by matching words, and the harder the negatives.</p>"
        f'{overlap_plot(data.overlap)}<p class="quiet">Words in the samples below: {escape(words)}.</p>'
    )


def _labels(data: ProfileData) -> str:
    return (
        "<h2>Judgements of the evaluation set</h2>"
        f"{count_plot(data.grades, 'relevance of a judgement')}"
        f"{count_plot(data.judgements, 'relevant passages of a query')}"
    )


def _false_negatives(data: ProfileData) -> str:
    found = data.manifest.false_negatives
    if found is None:
        return ""
    rows = [
        (example["query"], _cut_text(example["positive"]), _cut_text(example["negative"]),
         f"{example['positive_similarity']:.2f}", f"{example['negative_similarity']:.2f}")
        for example in found["worst"]
    ]  # fmt: skip
    return (
        "<h2>Negatives that may be answers</h2><p>The base model puts the negative above the positive in "
        f"<b>{found['above']:,}</b> of {found['triplets']:,} triplets, by more than {found['margin']} in "
        f"<b>{found['above_by_margin']:,}</b>. Nothing was dropped for this reason; read the worst of them.</p>"
        f"{_table(('query', 'positive', 'negative', 'similarity of +', 'of -'), rows, numbers=(3, 4))}"
    )


def _samples(data: ProfileData) -> str:
    triplets = "".join(
        f'<p><b>{escape(triplet.query)}</b> <span class="quiet">{escape(triplet.query_id)}</span></p><blockquote>'
        f'<div class="positive">+ {_short(triplet.positive)}</div>'
        f'<div class="negative">- {_short(triplet.negative)}</div>'
        "</blockquote>"
        for triplet in data.samples
    )
    return f"<h2>Triplets to read</h2>{triplets}"


def _settings(data: ProfileData) -> str:
    rows = [(name, str(value)) for name, value in data.manifest.settings.items()]
    return f"<h2>Settings</h2><details><summary>All of them</summary>{_table(('setting', 'value'), rows)}</details>"


def _short(text: str) -> str:
    return escape(_cut_text(text))


def _cut_text(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]], numbers: Sequence[int] = ()) -> str:
    def cells(tag: str, values: Iterable[str]) -> str:
        return "".join(
            f"<{tag}{' class=number' if place in numbers else ''}>{escape(value)}</{tag}>"
            for place, value in enumerate(values)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', head)}</tr></thead><tbody>{body}</tbody></table>"
