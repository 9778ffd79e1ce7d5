"""What the fault tests run in a process of its own, to be killed at any moment."""

import json
import resource
from pathlib import Path
from typing import Any

from components.deploy.machine.deploy import deploy_local
from components.errors import RankliftError, StoreError
from components.index.options import IndexOptions
from components.index.promote import index_and_promote
from components.index.reindex import reindex
from components.index.stage import Given
from components.object_store.client import ObjectStore, ObjectStoreSettings
from components.promote.promote import promote
from components.records.decision import Decision
from components.registry.registry import Registry


def plain(settings: ObjectStoreSettings) -> dict[str, Any]:
    """Settings in a form that another process can be handed, keys in the clear."""
    return settings.model_dump() | {
        "access_key": settings.access_key.get_secret_value(),
        "secret_key": settings.secret_key.get_secret_value(),
    }


def promote_in_process(environment: dict[str, Any], model: Path, decision: str, result: Path) -> None:
    """Promote, and leave the version or the error in a file."""
    registry = Registry(ObjectStore(ObjectStoreSettings.of(**environment)))
    try:
        outcome = {"version": promote(model, Decision.model_validate_json(decision), registry)}
    except RankliftError as error:
        outcome = {"error": str(error)}
    result.write_text(json.dumps(outcome))


def index_in_process(
    environment: dict[str, Any], given: Given, decision: str, options: IndexOptions, home: Path, result: Path
) -> None:
    """Make the index of a model that was kept, and make both champion."""
    registry = Registry(ObjectStore(ObjectStoreSettings.of(**environment)))
    record = Decision.model_validate_json(decision)
    result.write_text(json.dumps({"index": index_and_promote(given, record, registry, options, home=home)}))


def reindex_in_process(
    environment: dict[str, Any], corpus: str, options: IndexOptions, dataset: Path, home: Path, result: Path
) -> None:
    """Give the champion an index of another corpus."""
    registry = Registry(ObjectStore(ObjectStoreSettings.of(**environment)))
    champion = reindex(registry, corpus, options, home=home, dataset=dataset)
    result.write_text(json.dumps({"index": champion.index}))


def publish_dataset_in_process(environment: dict[str, Any], dataset: Path, result: Path) -> None:
    """Publish a dataset, as the end of `prepare` does."""
    registry = Registry(ObjectStore(ObjectStoreSettings.of(**environment)))
    result.write_text(json.dumps({"version": registry.publish_dataset(dataset).name}))


def rollback_in_process(environment: dict[str, Any], versions: list[str], moves: int, result: Path) -> None:
    """Move the champion a number of times, trying again whenever another process came first."""
    registry = Registry(ObjectStore(ObjectStoreSettings.of(**environment)))
    conflicts = 0
    for move in range(moves):
        while True:
            try:
                registry.move_champion(versions[move % len(versions)], registry.champion(), action="rollback")
                break
            except StoreError:
                conflicts += 1
    result.write_text(json.dumps({"conflicts": conflicts}))


def deploy_in_process(environment: dict[str, Any], version: str, home: Path) -> None:
    """Deploy with no predictor running."""
    registry = Registry(ObjectStore(ObjectStoreSettings.of(**environment)))
    deploy_local(version, registry, home)


def download_with_little_room(environment: dict[str, Any], directory: Path, room: int, result: Path) -> None:
    """Download a version where no file may grow beyond `room` bytes."""
    registry = Registry(ObjectStore(ObjectStoreSettings.of(**environment)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    try:
        registry.download("model", "V0", directory)
        outcome = ""
    except RankliftError as error:
        outcome = str(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    result.write_text(outcome)
