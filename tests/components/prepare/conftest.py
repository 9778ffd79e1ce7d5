"""Raw data that the tests of `prepare` share: small, made on the spot, different in every row."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

COLUMNS = ("query_id", "query", "positive", "negative")


def rows_of(count):
    """Triplets in which nothing is shared and nothing is alike."""
    return [
        {
            "query_id": f"{number:03d}",
            "query": f"how does thing {number} work when moon {number * 7} rises",
            "positive": f"thing {number} turns its wheel {number * 13} times, says volume {number * 17}",
            "negative": f"unrelated matter {number * 19} about fish {number * 23} and bread {number * 29}",
        }
        for number in range(count)
    ]


def write_rows(path: Path, rows) -> Path:
    """Store triplets in the format that the file's name says."""
    kind = path.name.partition(".")[2]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    separator = "\t" if "tsv" in kind else ","
    if "json" in kind:
        lines = [json.dumps(row) for row in rows]
    else:
        table = [list(rows[0]), *(list(row.values()) for row in rows)]
        quoted = [['"' + str(value).replace('"', '""') + '"' for value in row] for row in table]
        lines = [separator.join(row) for row in quoted]
    content = ("\n".join(lines) + "\n").encode()
    if kind.endswith(".gz"):
        content = gzip.compress(content)
    elif kind.endswith(".zst"):
        content = pa.compress(content, codec="zstd", asbytes=True)
    path.write_bytes(content)
    return path


def write_beir(directory: Path, *, passages, queries, qrels, compress=False) -> Path:
    """Store a BEIR folder; `qrels` are rows of (query, passage, relevance) by split."""
    (directory / "qrels").mkdir(parents=True)
    for name, records in (("corpus", passages), ("queries", queries)):
        content = "".join(json.dumps({"_id": key, **value}) + "\n" for key, value in records.items()).encode()
        path = directory / f"{name}.jsonl{'.gz' if compress else ''}"
        path.write_bytes(gzip.compress(content) if compress else content)
    for split, rows in qrels.items():
        lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in rows)]
        (directory / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    return directory


@pytest.fixture(scope="session")
def base_model(tmp_path_factory) -> str:
    """The folder of a base model as far as `prepare` looks at one: one token for each word."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    directory = tmp_path_factory.mktemp("base-model")
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(directory / "tokenizer.json"))
    kinds = {"": "models.Transformer", "1_Pooling": "models.Pooling"}
    modules = [{"path": path, "type": f"sentence_transformers.{kind}"} for path, kind in kinds.items()]
    (directory / "modules.json").write_text(json.dumps(modules))
    return str(directory)


@pytest.fixture
def options(base_model):
    """`PrepareOptions` with small held-out sides; a test names what it is about."""
    from components.prepare.options import PrepareOptions

    def make(**values):
        return PrepareOptions(**{"base_model": base_model, "evaluation_queries": 10, "dev_queries": 5, **values})

    return make


def table_of(path: Path):
    """The rows of a Parquet file."""
    return pq.read_table(path).to_pylist()
