"""From a decision to a new champion: the version is kept first, then the pointer moves, or neither is seen."""

from pathlib import Path

from components.dataset.manifest import DatasetManifest
from components.errors import StoreError
from components.model.served import EncoderConfig
from components.records.decision import Decision
from components.registry.registry import Champion, Lineage, Registry
from components.registry.version import code_version


def promote(model_dir: Path, decision: Decision, registry: Registry, lineage: Lineage | None = None) -> str:
    """Keep the model as a version and make it champion; returns the version, such as "V3".

    Run again with the same model it gives the same version, and changes nothing when that is champion already. Two
    runs that judged their models against one champion cannot both succeed it: the second keeps its version, and is
    told to judge it against the first.

    Raises:
        StoreError: when the decision does not allow it, belongs to another model, or was made against a model that is
            no longer champion; or when the object store fails. The champion is then what it was.
    """
    lineage = lineage or Lineage()
    _check(model_dir, decision)
    champion = registry.champion()
    if champion is not None and lineage.parent is None and champion.digest != decision.candidate_digest:
        lineage = lineage.model_copy(update={"parent": champion.version})
    version = registry.publish_model(model_dir, decision, lineage)
    if champion is not None and champion.version == version.name:
        return version.name
    _check_champion(decision, champion, version.name)
    try:
        registry.move_champion(
            version.name, champion, reason=decision.reason, decision=decision, pipeline_run=lineage.pipeline_run
        )
    except StoreError:
        # The same promotion, tried by another process at the same time, may have come first.
        now = registry.champion()
        if now is None or now.version != version.name or not registry.has("model", now.version):
            raise
    return version.name


def lineage_of(model_dir: Path, dataset_dir: Path, dataset_version: str, run: str) -> Lineage:
    """What a model was made from.

    Args:
        model_dir: the exported model.
        dataset_dir: the dataset version that it was trained on.
        dataset_version: that dataset's name in the registry, such as "V2".
        run: the pipeline run's name.
    """
    dataset = DatasetManifest.of(dataset_dir)
    return Lineage(
        dataset_version=dataset_version or None,
        dataset_digest=dataset.digest,
        base_model=EncoderConfig.of(model_dir).base_model,
        source=dataset.source,
        code_version=code_version(),
        pipeline_run=run or None,
    )


def _check(model_dir: Path, decision: Decision) -> None:
    if decision.verdict != "promote":
        raise StoreError(
            f"{model_dir} was not promoted: the decision is {decision.verdict!r}, not 'promote' ({decision.reason})"
        )
    digest = EncoderConfig.of(model_dir).digest
    if digest != decision.candidate_digest:
        raise StoreError(
            f"{model_dir} was not promoted: its digest is {digest[:12]}…, and the decision is about "
            f"{decision.candidate_digest[:12]}… ({decision.candidate_model}); evaluate and gate this model first."
        )


def _check_champion(decision: Decision, champion: Champion | None, version: str) -> None:
    if champion is not None and champion.digest not in {decision.champion_digest, decision.candidate_digest}:
        raise StoreError(
            f"{version} is kept and was not made champion: it was judged against {decision.champion_model} "
            f"({decision.champion_digest[:12]}…), and {champion.version} ({champion.digest[:12]}…) is champion since "
            f"{champion.current.moved:%Y-%m-%d %H:%M} UTC; run the pipeline again to judge it against that."
        )
