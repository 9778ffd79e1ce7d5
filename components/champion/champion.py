"""The champion: what serves today, or what would serve if nobody had ever fine-tuned anything.

A promotion moves the champion, and a deploy that fails moves it back to what serves (`components.deploy.champion`), so
the champion is the model in service, or being deployed.
"""

from pathlib import Path
from typing import NamedTuple

from components.dataset.manifest import DatasetManifest
from components.export.options import ExportOptions
from components.export.stage import export_for_dataset
from components.model.base import base_model_directory
from components.model.folds import OutOfFoldScores
from components.model.served import EncoderConfig
from components.registry.registry import Registry


class ChampionModel(NamedTuple):
    """What the candidate is measured against: a name for people, and the model digest."""

    name: str
    digest: str


def champion_model(
    registry: Registry, dataset: Path, output: Path, options: ExportOptions | None = None
) -> ChampionModel:
    """Put the champion's served files into a folder.

    While nothing has been promoted that is the dataset's base model, exported exactly as a candidate is.

    Args:
        registry: where promoted versions live.
        dataset: the dataset version of this run; it names the base model and the length.
        output: the folder to make.
        options: how to export the base model; a promoted champion is as it is.

    Raises:
        StoreError: when the registry cannot be read, or the champion in it is damaged.
        ModelError: when the base model cannot be found or exported.
    """
    version = fetch_champion(registry, output)
    if version is not None:
        _add_out_of_fold(registry, version, output)
        return ChampionModel(_named(version, registry), EncoderConfig.of(output).digest)
    base_model = DatasetManifest.of(dataset).base_model
    config = export_for_dataset(base_model_directory(base_model), dataset, output, options, base_model=base_model)
    return ChampionModel(f"the base model ({base_model})", config.digest)


def _add_out_of_fold(registry: Registry, version: str, output: Path) -> None:
    """Put what the version scored in its cross-validation beside it, if it had one: it knows those queries since."""
    decision = registry.manifest("model", version).decision
    if decision is not None and decision.out_of_fold:
        OutOfFoldScores(dataset_digest=decision.dataset_digest, per_query=decision.out_of_fold).write_beside(output)


def fetch_champion(registry: Registry, directory: Path) -> str | None:
    """Download the champion into `directory`, verified against the hash in the champion record.

    Returns its version, such as "V3"; None, with no directory made, while nothing has been promoted.

    Raises:
        StoreError: when the object store fails, or what it holds is not what was promoted.
    """
    champion = registry.champion()
    if champion is None:
        return None
    registry.download("model", champion.version, directory, champion.manifest_sha256)
    return champion.version


def _named(version: str, registry: Registry) -> str:
    """Return the version, and whether it is promoted only: its deploy may still run, or was killed."""
    champion = registry.champion()
    seen = champion.in_service if champion is not None else None
    if champion is None or champion.version != version or seen is None or seen.version == version:
        return version
    return f"{version} (promoted, not in service yet)"
