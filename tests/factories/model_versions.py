"""Directories that are small and whole versions, for tests of the registry."""

import hashlib
from pathlib import Path

from components.dataset.evaluation_set import open_evaluation_set
from components.dataset.manifest import DATA_FILES, DatasetManifest, Percentiles
from components.machine.digest import file_sha256
from components.model.served import EncoderConfig
from tests.factories.evaluation_sets import write_dataset_version


def make_model(directory: Path, content: str = "a") -> Path:
    """A model directory whose manifest and hashes are right; its graph is text and cannot be run."""
    files = {"encoder.xml": f"<net>{content}</net>", "encoder.bin": content * 1000, "tokenizer.json": "{}"}
    for name, text in (files | {"1_Pooling/config.json": "{}", "modules.json": "[]"}).items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    EncoderConfig(
        base_model="tiny",
        dimension=4,
        max_seq_length=32,
        precision="fp32",
        pooling="mean",
        normalized=True,
        similarity="cosine",
        inputs=["input_ids", "attention_mask"],
        files={name: file_sha256(directory / name) for name in files},
    ).write(directory / "encoder.json")
    return directory


def make_dataset(directory: Path, content: str = "a") -> Path:
    """A dataset directory as the registry sees one: data files of any bytes, and a manifest."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in DATA_FILES:
        (directory / name).write_text(f"{name} {content}")
    digest = hashlib.sha256(content.encode()).hexdigest()
    lengths = Percentiles(p50=1, p95=2, p99=3, longest=4)
    DatasetManifest(
        digest=digest,
        evaluation_digest=digest,
        source="demo://docstrings",
        source_digest=digest,
        seed=13,
        base_model="tiny",
        max_seq_length=32,
        counts={"train": 10},
        token_lengths={"query": lengths},
        rules=[],
        settings={},
    ).write(directory / "manifest.json")
    return directory


def make_judged_dataset(directory: Path) -> Path:
    """A dataset version whose evaluation set can be opened: that of `write_dataset_version`."""
    whole = write_dataset_version(directory)
    evaluation = open_evaluation_set(whole).digest
    kept = {name: (whole / name).read_bytes() for name in ("corpus.parquet", "queries.parquet", "qrels.parquet")}
    make_dataset(whole)
    for name, content in kept.items():
        (whole / name).write_bytes(content)
    manifest = DatasetManifest.of(whole).model_copy(update={"evaluation_digest": evaluation})
    manifest.write(whole / "manifest.json")
    return whole
