"""Versions that are promoted without a run, so that a test of deploy need not wait for training."""

from pathlib import Path

from components.export.model import export_model
from components.model.served import EncoderConfig
from components.promote.promote import promote
from components.registry.registry import Registry
from tests.factories.decisions import make_decision
from tests.factories.models import make_tiny_model


def promote_another(registry: Registry, folder: Path) -> str:
    """Promote a model that no version has yet; returns its version."""
    count = len(registry.list_versions("model"))
    model = make_tiny_model(folder / "tiny", seed=100 + count)
    export_model(model, folder / "served", texts=["sort the array", "find a path"], max_seq_length=32)
    champion = registry.champion()
    assert champion is not None
    decision = make_decision(
        verdict="promote",
        candidate_digest=EncoderConfig.of(folder / "served").digest,
        champion_digest=champion.digest,
    )
    return promote(folder / "served", decision, registry)
