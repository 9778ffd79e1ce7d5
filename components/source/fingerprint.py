"""What tells raw data from the same place at another time, without reading it: a run on a schedule sees new data.

Kubeflow Pipelines runs a stage again when its parameters are others, and the place of the data is a parameter: without
this, `prepare` would give the dataset of the first run for ever.
"""

from pathlib import Path

from components.machine.digest import records_sha256
from components.object_store.folder import SCHEME, StoreFolder
from components.object_store.settings import ObjectStoreSettings
from components.raw_files.hub_dataset import HubDataset


def fingerprint(*uris: str) -> str:
    """16 hexadecimal digits that are others when any of the data is.

    Of objects it is their keys, sizes and entity tags, of a data set on the hub its commit, of local files their sizes
    and times; what a stage's image holds, such as the demo, changes with the image alone.

    Args:
        uris: of data and base model, as `prepare` takes them; an empty one is none.

    Raises:
        DataError: when there is no such data.
        StoreError: when the object store refused or could not be reached.
    """
    return records_sha256(fact for uri in uris for fact in (uri, *_facts(uri)))[:16]


def _facts(uri: str) -> list[str]:
    if uri.startswith(SCHEME):
        return _of_objects(uri)
    if uri.startswith("hf://datasets/"):
        return [HubDataset.of(uri).commit()]
    if "://" in uri and not uri.startswith("file://"):
        return []  # `prepare` knows what there is, and says so
    return _of_files(Path(uri.removeprefix("file://")).expanduser()) if uri else []


def _of_objects(uri: str) -> list[str]:
    if ObjectStoreSettings.from_environment() is None:
        return []  # as above
    return [f"{item.key} {item.size} {item.etag}" for item in StoreFolder(uri).objects]


def _of_files(path: Path) -> list[str]:
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    states = [(file, file.stat()) for file in files]
    return [f"{file} {state.st_size} {state.st_mtime_ns}" for file, state in states]
