"""Small evaluation sets in BEIR's layout."""

import json
from collections.abc import Mapping
from pathlib import Path

CORPUS = {
    "p1": "sort an array of numbers by value",
    "p2": "find the shortest path in a graph of nodes",
    "p3": "read a file and return each row as a string",
    "p4": "the mean of a matrix along an index",
    "p5": "train a model on data",
    "p6": "plot a tree",
}
QUERIES = {"q1": "sort numbers", "q2": "path in a graph", "q3": "read the rows of a file into a table in memory"}
QRELS = {"q1": {"p1": 2, "p5": 1}, "q2": {"p2": 1}, "q3": {"p3": 1, "p6": 0}}


def write_beir_folder(
    folder: Path,
    corpus: Mapping[str, str] = CORPUS,
    queries: Mapping[str, str] = QUERIES,
    qrels: Mapping[str, Mapping[str, int]] = QRELS,
    columns: Mapping[str, Mapping[str, object]] | None = None,
) -> Path:
    """Write a BEIR folder; the parts that are not given are a small default."""
    (folder / "qrels").mkdir(parents=True)
    passages = [{"_id": name, "text": text} for name, text in corpus.items()]
    further = columns or {}
    asked = [
        {"_id": name, "text": text, "metadata": {}, **{column: further[column][name] for column in further}}
        for name, text in queries.items()
    ]
    for name, rows in (("corpus", passages), ("queries", asked)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    lines = [f"{query}\t{passage}\t{grade}\n" for query in qrels for passage, grade in qrels[query].items()]
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines), encoding="utf-8")
    return folder


def write_dataset_version(folder: Path) -> Path:
    """Write the evaluation set of a dataset version: the same content as the default BEIR folder."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    judged = [(query, passage, grade) for query in QRELS for passage, grade in QRELS[query].items()]
    queries, passages, grades = zip(*judged, strict=True)
    tables = {
        "corpus": {"passage_id": list(CORPUS), "text": list(CORPUS.values())},
        "queries": {"query_id": list(QUERIES), "query": list(QUERIES.values())},
        "qrels": {"query_id": queries, "passage_id": passages, "relevance": pa.array(grades, pa.int32())},
    }
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return folder
