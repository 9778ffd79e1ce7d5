"""Test collections read as they are published: BEIR folders, MS MARCO folders, TREC judgements.

BEIR has ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/*.tsv``; MS MARCO has ``collection.tsv``, ``queries.*.tsv``,
``qrels.*.tsv`` and triples of ids, all without a header.

The format is described in Thakur et al., "BEIR: A Heterogeneous Benchmark for Zero-shot Evaluation of Information
Retrieval Models" (2021); `qrels` reads its judgements and TREC's.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from components.dataset.text_file import bare_suffix, numbered_lines, numbered_objects
from components.errors import DataError

_COMPRESSED = ("", ".gz", ".zst")
_QRELS_SUFFIXES = (".tsv", ".txt", ".qrels", ".qrel", ".trec")
# MS MARCO's own files, and those of the TREC Deep Learning tracks over its passages: msmarco-test2019-queries.tsv and
# 2019qrels-pass.txt.
_QUERIES = re.compile(r"(msmarco-test\d{4}-)?queries(\.[\w-]+)*\.tsv(\.gz|\.zst)?")
_QRELS = re.compile(r"(?:qrels\.(?P<split>[\w-]+(\.[\w-]+)*?)|(?P<year>\d{4})qrels-pass)\.(tsv|txt)(\.gz|\.zst)?")
_TRIPLES = re.compile(r"qidpidtriples(\.\w+)*\.tsv(\.gz|\.zst)?")


class Passage(NamedTuple):
    """One row of a corpus; `row` is its line in the file."""

    row: int
    passage_id: str
    text: str  #: its title included
    title: str = ""


class Query(NamedTuple):
    """One row of a query file, with the further columns that it carries."""

    row: int
    query_id: str
    text: str
    columns: dict[str, Any]


@dataclass(frozen=True)
class BeirFolder:
    """Where the parts of a BEIR or MS MARCO data set lie."""

    corpus: Path
    queries: tuple[Path, ...]
    qrels: dict[str, Path]  #: by split
    triples: Path | None = None  #: query, positive and negative by id, as MS MARCO publishes them

    @classmethod
    def find(cls, directory: Path) -> "BeirFolder | None":
        """Return the data set at a path, or None when there is no corpus file in it.

        Raises:
            DataError: when there is a corpus and something else is missing.
        """
        corpus = _first_of(directory, "corpus.jsonl") or _first_of(directory, "collection.tsv")
        if corpus is None:
            return None
        queries = _first_of(directory, "queries.jsonl")
        found = (queries,) if queries else _matching(directory, _QUERIES)
        if not found:
            raise DataError(f"{directory} has {corpus.name} and no queries.jsonl; put its queries there.")
        qrels = _qrels_of(directory / "qrels") or _splits(_matching(directory, _QRELS))
        if not qrels:
            raise DataError(f"{directory} has {corpus.name} and no qrels/*.tsv; put its judgements at qrels/test.tsv.")
        triples = _matching(directory, _TRIPLES)
        return cls(corpus, found, qrels, triples[0] if triples else None)

    @property
    def files(self) -> list[Path]:
        """All files of the data set."""
        parts = [self.corpus, *self.queries, *self.qrels.values(), *([self.triples] if self.triples else [])]
        return list(dict.fromkeys(parts))

    def training_split(self, evaluation_split: str) -> str:
        """Return the split to train on: "train", else the only split beside the evaluation's, else the only split.

        Raises:
            DataError: when that leaves a choice.
        """
        if "train" in self.qrels:
            return "train"
        splits = {path: name for name, path in reversed(self.qrels.items())}
        others = [name for path, name in splits.items() if path != self.qrels.get(evaluation_split)]
        found = others or list(splits.values())
        if len(found) > 1:
            raise DataError(
                f"{self.corpus.parent} has no split 'train'; it has {', '.join(sorted(self.qrels))}: rename the qrels "
                "to train on to train, and name those to evaluate on with --evaluation-split."
            )
        return found[0]

    def brings_evaluation(self, split: str) -> bool:
        """Whether it has a split to evaluate on beside the one to train on."""
        return split in self.qrels and self.qrels[split] != self.qrels[self.training_split(split)]

    def judgements(self, split: str) -> Path:
        """Return the qrels file of a split.

        Raises:
            DataError: when there is none.
        """
        if split not in self.qrels:
            raise DataError(
                f"{self.corpus.parent} has no split {split!r}; it has {', '.join(sorted(self.qrels))}: name one."
            )
        return self.qrels[split]


def read_corpus(path: Path) -> Iterator[Passage]:
    """Yield the passages of a corpus: title and text joined by one space; the text may be empty.

    Raises:
        DataError: when the file cannot be read, or a row has no ``_id`` or no ``text``.
    """
    if bare_suffix(path) == ".tsv":
        yield from (Passage(*row) for row in _two_columns(path))
        return
    for row, record in numbered_objects(path):
        title = _optional_text(record.get("title"), path, row, "title")
        text = _optional_text(_required(record, path, row, "text"), path, row, "text")
        yield Passage(row, _identifier(record, path, row), f"{title} {text}".strip(), title.strip())


def read_queries(path: Path) -> Iterator[Query]:
    """Yield the queries of a file; scalar values beside ``_id`` and ``text``, or in ``metadata``, are columns.

    Raises:
        DataError: when the file cannot be read, or a row has no ``_id`` or no ``text``.
    """
    if bare_suffix(path) == ".tsv":
        yield from (Query(*row, {}) for row in _two_columns(path))
        return
    for row, record in numbered_objects(path):
        text = _optional_text(_required(record, path, row, "text"), path, row, "text").strip()
        yield Query(row, _identifier(record, path, row), text, _scalars(record))


def _first_of(directory: Path, name: str) -> Path | None:
    return next((path for suffix in _COMPRESSED if (path := directory / (name + suffix)).is_file()), None)


def _matching(directory: Path, pattern: re.Pattern[str]) -> tuple[Path, ...]:
    return tuple(path for path in sorted(directory.iterdir()) if path.is_file() and pattern.fullmatch(path.name))


def _splits(paths: Iterable[Path]) -> dict[str, Path]:
    """Return the files by split: ``qrels.dev.small.tsv`` is "dev.small", and "dev" where there is no qrels.dev.tsv."""
    found = {match["split"] or match["year"]: path for path in paths if (match := _QRELS.fullmatch(path.name))}
    for name in list(found):
        found.setdefault(name.partition(".")[0], found[name])
    return found


def _two_columns(path: Path) -> Iterator[tuple[int, str, str]]:
    for row, line in numbered_lines(path):
        key, tab, text = line.partition("\t")
        if not tab or not key.strip():
            raise DataError(f"{path}, row {row} is {line[:80]!r}; write an id, a tab and a text in each row.")
        yield row, key.strip(), " ".join(text.split())


def _qrels_of(directory: Path) -> dict[str, Path]:
    if not directory.is_dir():
        return {}
    found: dict[str, Path] = {}
    for path in sorted(directory.iterdir()):
        name = path.name.removesuffix(".gz").removesuffix(".zst")
        stem, dot, suffix = name.rpartition(".")
        if path.is_file() and dot + suffix in _QRELS_SUFFIXES:
            found.setdefault(stem, path)
    return found


def _required(record: dict[str, Any], path: Path, row: int, column: str) -> Any:
    if column not in record:
        names = ", ".join(list(record)[:10]) or "nothing"
        raise DataError(f"{path}, row {row} has no column {column!r}; it has {names}: add it or rename one.")
    return record[column]


def _identifier(record: dict[str, Any], path: Path, row: int) -> str:
    value = _required(record, path, row, "_id")
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise DataError(f"{path}, row {row}, column '_id' is {value!r}; give every row an id such as \"42\".")
    return str(value).strip()


def _optional_text(value: Any, path: Path, row: int, column: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"{path}, row {row}, column {column!r} is {value!r} and not a text; put it in quotes.")
    return value


def _scalars(record: dict[str, Any]) -> dict[str, Any]:
    metadata = record.get("metadata")
    fields = {**(metadata if isinstance(metadata, dict) else {}), **record}
    return {
        name: value
        for name, value in fields.items()
        if name not in ("_id", "text", "title") and isinstance(value, str | int | float | bool)
    }
