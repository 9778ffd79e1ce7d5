"""From the URI that a user types to files on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.prepare.options import DEMO_SOURCE
from components.prepare.raw.data import RawData, demo_data, local_data
from components.raw_files.local_copy import local_copy


@contextmanager
def fetch(uri: str, scratch: Path) -> Iterator[RawData]:
    """Bring the raw data at a URI to this machine, under `scratch` when it lies elsewhere.

    Raises:
        DataError: when there is no such data, or nothing in it could be read.
        StoreError: when an object store refused or could not be reached.
    """
    if uri == DEMO_SOURCE:
        yield demo_data()
    else:
        yield local_data(uri, local_copy(uri, scratch / "download", DEMO_SOURCE))
