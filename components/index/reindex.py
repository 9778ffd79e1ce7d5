"""Another corpus for the champion: its model stays, and a new index of it takes the place of the previous one."""

from pathlib import Path
from typing import NamedTuple

from components.errors import StoreError
from components.index.options import DATASET, IndexOptions
from components.index.previous import fetched
from components.index.promote import publish
from components.index.stage import Given
from components.index.verification import MissedBoundError
from components.machine.scratch_folder import scratch_folder
from components.registry.registry import Champion, Lineage, Registry, VersionManifest
from components.registry.succession import searched_with
from components.registry.version import code_version


def reindex(
    registry: Registry,
    corpus: str,
    options: IndexOptions,
    *,
    home: Path,
    dataset: Path | None = None,
    reason: str = "",
) -> Champion:
    """Make an index of the champion's model, and have the champion searched with it.

    The pair moves in one conditional write; whatever fails before leaves it as it was. The same call again goes on
    with what a killed one left, and changes nothing where the champion has that index.

    Args:
        registry: where all of it is kept.
        corpus: a URI, or "dataset".
        options: see `IndexOptions`.
        home: ranklift's data folder.
        dataset: whose queries verify the index; by default the dataset version that the model was trained on.
        reason: one sentence for the history.

    Raises:
        StoreError: when nothing was promoted, the index finds too little, or another run moved the champion meanwhile.
        RankliftError: when something cannot be used, written or kept.
    """
    champion = registry.champion()
    if champion is None:
        raise StoreError("Nothing has been promoted yet, so there is no model to embed with; `ranklift run` promotes.")
    lineage = Lineage(model_version=champion.version, source=corpus, code_version=code_version())
    work = home / "indexing"
    work.mkdir(parents=True, exist_ok=True)
    try:
        with scratch_folder(work, ".ranklift-") as scratch:
            given = _given(registry, champion, corpus, dataset, _Places(home, scratch))
            index = publish(given, registry, options, lineage, home=home, work=work)
    except MissedBoundError as error:
        raise StoreError(
            f"{champion.current.pair} stays champion: {error}. Look at the corpus and the queries, or allow it with a "
            "lower bound."
        ) from error
    if champion.index == index.name:
        return champion
    said = reason or searched_with(index.name)
    return registry.move_champion(champion.version, champion, action="index", reason=said, index=index.name)


class _Places(NamedTuple):
    """Where versions lie, or are fetched to."""

    home: Path
    scratch: Path


def _given(registry: Registry, champion: Champion, corpus: str, dataset: Path | None, places: _Places) -> Given:
    """Return what the index is made of, brought to this machine."""
    manifest = registry.expected_manifest("model", champion.version, champion.manifest_sha256).manifest
    # The bound on NDCG@10 is held against what the gate saw, where it saw this very dataset.
    judged = manifest.decision.candidate if manifest.decision is not None and dataset is None else None
    if dataset is None:
        dataset = _dataset_of(registry, manifest, places, corpus)
    served = places.home / "serving" / champion.version
    model = fetched(registry, "model", champion.version, served, places.scratch / "model")
    return Given(model, corpus, dataset, model_version=champion.version, judged_ndcg=judged)


def _dataset_of(registry: Registry, manifest: VersionManifest, places: _Places, corpus: str) -> Path:
    version = manifest.lineage.dataset_version
    if version is None:
        needed = "its corpus and queries are" if corpus == DATASET else "its queries are"
        raise StoreError(
            f"The registry does not say on which dataset {manifest.version} was trained, so {needed} not known; name "
            "one with --data DATASET."
        )
    return fetched(registry, "dataset", version, places.home / "datasets" / version, places.scratch / "dataset")
