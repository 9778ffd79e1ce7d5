"""The dev queries of a dataset version as an evaluation set, for the code that judges candidate and champion."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.dataset.manifest import CORPUS, DEV, QRELS, QUERIES
from components.errors import DataError
from components.train.loop.dev_set import dev_slice

_TEXTS = 4_000  #: that are encoded for each model, at most


def write_dev_evaluation(dataset: Path, folder: Path) -> None:
    """Write dev queries, their answers and the passages to search them in as corpus, queries and qrels.

    The frozen test set is not opened. Base models that were chosen by it would bring its luck along: the gate would
    find a gain on those very queries that others do not show.

    Args:
        dataset: a dataset version.
        folder: to write to; it must exist.

    Raises:
        DataError: when the dataset has no dev query.
    """
    part = dev_slice(dataset, _TEXTS)
    if not part.triplets:
        raise DataError(f"{dataset / DEV} is empty, and base models are compared on it; prepare with more queries.")
    answers = [text for triplet in part.triplets for text in (triplet.positive, triplet.negative)]
    passages = list(dict.fromkeys(text for text in (*answers, *part.distractors) if text.strip()))
    names = {text: f"p{number}" for number, text in enumerate(passages)}
    queries = {triplet.query_id: triplet.query for triplet in part.triplets}
    judged = sorted({(triplet.query_id, names[triplet.positive]) for triplet in part.triplets})
    _write(folder / CORPUS, passage_id=list(names.values()), text=passages)
    _write(folder / QUERIES, query_id=list(queries), query=list(queries.values()))
    _write(
        folder / QRELS,
        query_id=[query for query, _ in judged],
        passage_id=[passage for _, passage in judged],
        relevance=pa.array([1] * len(judged), pa.int32()),
    )


def _write(path: Path, **columns: object) -> None:
    pq.write_table(pa.table(columns), path)
