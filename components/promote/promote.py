"""From a decision to a new champion: the version is kept first, then the pointer moves, or neither is seen."""

from pathlib import Path

from components.dataset.manifest import DatasetManifest
from components.errors import StoreError
from components.model.served import EncoderConfig
from components.records.decision import Decision
from components.registry.registry import Lineage, Registry
from components.registry.succession import check_succession, succeed
from components.registry.version import code_version


def promote(
    model_dir: Path,
    decision: Decision,
    registry: Registry,
    lineage: Lineage | None = None,
    *,
    awaits_index: bool = False,
) -> str:
    """Keep the model as a version and make it champion; returns the version, such as "V3".

    A model that awaits its index is kept alone: `index` makes both champion in one step, once the index is verified.

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
    if awaits_index:
        check_succession(decision, champion, version.name)
    else:
        succeed(registry, version.name, decision, champion, pipeline_run=lineage.pipeline_run)
    return version.name


def lineage_of(
    model_dir: Path, dataset_dir: Path, dataset_version: str, run: str, *, teacher: str = "", teacher_digest: str = ""
) -> Lineage:
    """Return what a model was made from.

    Args:
        model_dir: the exported model.
        dataset_dir: the dataset version that it was trained on.
        dataset_version: that dataset's name in the registry, such as "V2".
        run: the pipeline run's name.
        teacher: the cross-encoder that it learned from as well; empty for none.
        teacher_digest: of that one's files.
    """
    dataset = DatasetManifest.of(dataset_dir)
    return Lineage(
        dataset_version=dataset_version or None,
        dataset_digest=dataset.digest,
        base_model=EncoderConfig.of(model_dir).base_model,
        teacher=teacher or None,
        teacher_digest=teacher_digest or None,
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
