"""From the URI of a corpus to its passages."""

from collections.abc import Iterator
from pathlib import Path

from components.errors import DataError
from components.index.options import DATASET
from components.index.passages import Passage, corpus_files, passages_of
from components.index.postgres_corpus import is_postgres, table_of, table_passages
from components.raw_files.local_copy import local_copy


def corpus_passages(uri: str, dataset: Path | None, scratch: Path) -> Iterator[Passage]:
    """Yield the passages at a URI, whose files are brought below `scratch` where they lie elsewhere.

    Raises:
        DataError: when there is no such corpus, or it cannot be used; names file and row.
        StoreError: when an object store refused or could not be reached.
    """
    if is_postgres(uri):
        yield from table_passages(uri)
        return
    if uri == DATASET:
        if dataset is None:
            raise DataError("The corpus is that of the dataset, and no dataset is named.")
        files = corpus_files(dataset, str(dataset))
    else:
        files = corpus_files(local_copy(uri, scratch / "corpus", "postgresql://…", repr(DATASET)), uri)
    for file in files:
        yield from passages_of(file)


def check_corpus(uri: str) -> None:
    """Raise a DataError for a corpus of which one sees at once that it cannot be read."""
    if is_postgres(uri):
        table_of(uri)
    elif uri != DATASET and "://" not in uri:
        corpus_files(Path(uri).expanduser(), uri)
