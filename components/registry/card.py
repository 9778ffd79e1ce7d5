"""The model card of a version: what the hub's metadata format asks for, and what a person asks first."""

import json

from components.records.decision import Decision
from components.registry.version import VersionManifest


def model_card(manifest: VersionManifest) -> str:
    """Return the text of a version's ``README.md``."""
    name = f"ranklift {manifest.version}"
    return "\n".join([
        "---",
        *_metadata(manifest, name),
        "---",
        "",
        f"# {name}",
        "",
        f"A sentence-transformers retrieval model, fine-tuned from {_code(manifest.lineage.base_model)}; "
        f"published {manifest.created:%Y-%m-%d %H:%M} UTC.",
        "",
        *_intended_use(),
        *_results(manifest.decision),
        *_data(manifest),
        *_loading(manifest),
    ])  # fmt: skip


def _metadata(manifest: VersionManifest, name: str) -> list[str]:
    # Every value is JSON, which is YAML: no name can break out of its place.
    base = manifest.lineage.base_model
    fields: dict[str, object] = {
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": ["sentence-transformers", "sentence-similarity", "feature-extraction", "ranklift"],
    }
    if base is not None and _is_hub_id(base):
        fields["base_model"] = base
    if manifest.decision is not None:
        fields["model-index"] = [{"name": name, "results": [_result(manifest, manifest.decision)]}]
    return [f"{key}: {json.dumps(value, ensure_ascii=True)}" for key, value in fields.items()]


def _result(manifest: VersionManifest, decision: Decision) -> dict[str, object]:
    return {
        "task": {"type": "information-retrieval", "name": "Information Retrieval"},
        "dataset": {"type": "ranklift", "name": manifest.lineage.dataset_version or decision.dataset_digest[:12]},
        "metrics": [{"type": "ndcg_at_10", "name": "NDCG@10", "value": round(decision.candidate, 6)}],
    }


def _intended_use() -> list[str]:
    return [
        "## Intended use",
        "",
        "Ranking passages for a query, on data like its training and evaluation data. Its scores order "
        "passages; they are not probabilities. Evaluate it on your own queries before you use it for anything else.",
        "",
    ]


def _results(decision: Decision | None) -> list[str]:
    if decision is None:
        return ["## Results", "", "No decision was recorded with this version.", ""]
    low, high = decision.confidence_interval
    guards = [
        f"| {_cell(guard.name)} | {_number(guard.value)} | {_number(guard.limit)} | {'yes' if guard.passed else 'no'} |"
        for guard in decision.guards
    ]
    return [
        "## Results",
        "",
        "| | NDCG@10 |",
        "|---|---|",
        f"| this model | {decision.candidate:.4f} |",
        f"| previous champion ({_cell(decision.champion_model)}) | {decision.champion:.4f} |",
        f"| gain ({decision.confidence:.0%} interval) | {decision.delta:+.4f} ({low:+.4f} to {high:+.4f}) |",
        "",
        f"Judged {decision.method}.",
        "",
        f"{decision.queries:,} queries; p = {decision.p_value:.4f} (paired randomisation test, alpha "
        f"{decision.alpha:g}). {_line(decision.reason)}",
        "",
        "| guard | value | limit | passed |",
        "|---|---|---|---|",
        *guards,
        "",
    ]


def _data(manifest: VersionManifest) -> list[str]:
    lineage = manifest.lineage
    facts = {
        "dataset": lineage.dataset_version,
        "dataset digest": lineage.dataset_digest,
        "raw data": lineage.source,
        "base model": lineage.base_model,
        "teacher": lineage.teacher,
        "teacher digest": lineage.teacher_digest,
        "champion before": lineage.parent,
        "code version": lineage.code_version,
        "pipeline run": lineage.pipeline_run,
        "model digest": manifest.digest,
    }
    return ["## Origin", "", *(f"- {name}: {_code(value)}" for name, value in facts.items() if value), ""]


def _loading(manifest: VersionManifest) -> list[str]:
    return [
        "## How to load it",
        "",
        "```python",
        "from sentence_transformers import SentenceTransformer",
        "",
        f'model = SentenceTransformer("path/to/{manifest.version}")',
        'query = model.encode_query("how to sort a list")',
        'documents = model.encode_document(["Arrange the elements in ascending order."])',
        "print(model.similarity(query, documents))",
        "```",
        "",
        f"`ranklift serve --model path/to/{manifest.version}` serves it without torch.",
        "",
    ]


def _is_hub_id(name: str) -> bool:
    owner, slash, rest = name.partition("/")
    return bool(slash and owner and rest) and "/" not in rest and not name.startswith((".", "~"))


def _line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")


def _code(text: str | None) -> str:
    return f"`{_line(text).replace('`', ' ')}`" if text else "an unnamed model"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"  # noqa: RUF001 - a dash that stands for no number
