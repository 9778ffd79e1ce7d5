"""Index versions of the registry, opened on this machine with the models that made them, and queries to ask them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from components.deploy.machine.folder import index_directory, serving_directory
from components.errors import RankliftError, StoreError
from components.index.compare import Side
from components.model.encoder import Encoder
from components.search.reader import open_index

if TYPE_CHECKING:
    from components.registry.champion import Champion
    from components.registry.registry import Registry


class Queries(NamedTuple):
    """Queries by their ids, and the passages that were judged to answer them, where that is known."""

    texts: Mapping[str, str]
    relevant: Mapping[str, frozenset[str]]


def opened(registry: "Registry", home: Path, version: str) -> Side:
    """Open an index version and its model, fetched where they do not lie here yet.

    Raises:
        StoreError: when there is no such index, or its model is not a version of the registry.
    """
    lineage = registry.manifest("index", version).lineage
    if lineage.model_version is None:
        raise StoreError(f"Index {version} is of a model that is not a version of the registry, so it cannot be asked.")
    registry.download("index", version, index_directory(home, version))
    model = serving_directory(home) / lineage.model_version
    registry.download("model", lineage.model_version, model)
    encoder = Encoder.open(model)
    return Side(version, open_index(index_directory(home, version), encoder.digest), encoder)


def index_in_service(champion: "Champion | None") -> str:
    """Return the index of the champion.

    Raises:
        RankliftError: when it has none.
    """
    if champion is None or champion.index is None:
        raise RankliftError("The champion has no index; `ranklift run --data URI --index-corpus URI` makes one.")
    return champion.index


def current_and_previous(champion: "Champion | None") -> tuple[str, str]:
    """Return the index of the champion, and the one that was searched before it.

    Raises:
        RankliftError: when there are no two.
    """
    current = index_in_service(champion)
    named = [entry.index for entry in champion.history if entry.index] if champion is not None else []
    previous = next((index for index in reversed(named) if index != current), None)
    if previous is None:
        raise RankliftError(f"{current} is the only index that was ever searched; name two indexes, such as V1 V2.")
    return current, previous


def queries_of(registry: "Registry", home: Path, index: str, data: Path | None, file: Path | None) -> Queries:
    """Return queries to ask an index: those of a file or a dataset that was named, else of the dataset of its model.

    Raises:
        RankliftError: when there are none.
    """
    if file is not None:
        lines = file.read_text(encoding="utf-8").splitlines()
        return Queries({str(number): line for number, line in enumerate(lines, 1) if line.strip()}, {})
    if data is None:
        data = _dataset_of(registry, home, index)
    return _judged(data)


def _judged(data: Path) -> Queries:
    from components.dataset.evaluation_set import open_evaluation_set

    evaluation_set = open_evaluation_set(data)
    relevant = {
        query: frozenset(passage for passage, grade in judged.items() if grade > 0)
        for query, judged in evaluation_set.qrels.items()
    }
    return Queries(evaluation_set.queries, relevant)


def _dataset_of(registry: "Registry", home: Path, index: str) -> Path:
    model = registry.manifest("index", index).lineage.model_version
    dataset = registry.manifest("model", model).lineage.dataset_version if model else None
    if dataset is None:
        raise RankliftError(
            f"The registry does not say on which dataset the model of index {index} was trained, so its queries are "
            "not known; name some with --queries FILE, one a line, or with --data DATASET."
        )
    folder = home / "datasets" / dataset
    registry.download("dataset", dataset, folder)
    return folder
