"""The SMART test collections CACM, NPL and Cranfield, from the files as they were published to BEIR's layout.

    python tests/benchmarks/smart_collections.py cacm FOLDER -o collections/cacm

FOLDER holds ``cacm.all``, ``query.text`` and ``qrels.text`` (CACM); ``doc-text``, ``query-text`` and ``rlv-ass`` (NPL,
also known as Vaswani); or ``cran.all.1400``, ``cran.qry`` and ``cranqrel`` (Cranfield), as the University of Glasgow
distributes them and many course repositories keep them. Only judged queries are written; the one split is ``test``.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class Collection(NamedTuple):
    """Passages as (id, title, text), queries as (id, text), and relevant pairs as (query, passage)."""

    passages: list[tuple[str, str, str]]
    queries: list[tuple[str, str]]
    relevant: list[tuple[str, str]]


def read_cacm(folder: Path) -> Collection:
    """CACM: titles, most of them with no abstract; 64 queries, 52 of them judged."""
    passages = [(r[".I"], r.get(".T", ""), r.get(".W", "")) for r in _records(folder / "cacm.all")]
    queries = [(r[".I"], r[".W"]) for r in _records(folder / "query.text")]
    rows = (line.split() for line in _text(folder / "qrels.text").splitlines() if line.strip())
    return Collection(passages, queries, [(str(int(query)), str(int(passage))) for query, passage, *_ in rows])


def read_cranfield(folder: Path) -> Collection:
    """Cranfield: abstracts; 225 queries, which the judgements number by their place in the file."""
    passages = [(r[".I"], r.get(".T", ""), r.get(".W", "")) for r in _records(folder / "cran.all.1400")]
    queries = [(str(place), r[".W"]) for place, r in enumerate(_records(folder / "cran.qry"), 1)]
    rows = (line.split() for line in _text(folder / "cranqrel").splitlines() if line.strip())
    return Collection(passages, queries, [(query, passage) for query, passage, grade in rows if int(grade) in range(5)])


def read_npl(folder: Path) -> Collection:
    """NPL: 11,429 short abstracts; 93 queries."""
    passages = [(key, "", text) for key, text in _blocks(folder / "doc-text")]
    queries = [(key, text.lower()) for key, text in _blocks(folder / "query-text")]
    pairs = [(key, passage) for key, found in _blocks(folder / "rlv-ass") for passage in found.split()]
    return Collection(passages, queries, pairs)


READERS = {"cacm": read_cacm, "cranfield": read_cranfield, "npl": read_npl}


def _records(path: Path) -> Iterator[dict[str, str]]:
    """The records of a file in SMART's format: ``.I 7`` begins one, ``.T`` and its like begin a field."""
    record: dict[str, list[str]] = {}
    field = ""
    for line in _text(path).splitlines():
        if line.startswith(".I "):
            if record:
                yield _joined(record)
            record, field = {".I": [str(int(line[3:]))]}, ""
        elif len(line.strip()) == 2 and line.startswith(".") and line[1].isupper():
            field = line.strip()
        elif field:
            record.setdefault(field, []).append(line)
    if record:
        yield _joined(record)


def _joined(record: dict[str, list[str]]) -> dict[str, str]:
    return {name: " ".join(" ".join(lines).split()) for name, lines in record.items()}


def _blocks(path: Path) -> Iterator[tuple[str, str]]:
    """Blocks of an id and a text, each closed by a slash on a line by itself."""
    lines: list[str] = []
    for line in map(str.strip, _text(path).splitlines()):
        if line != "/":
            lines += [line] if line else []
        elif lines:
            yield lines[0], " ".join(" ".join(lines[1:]).split())
            lines = []


def _text(path: Path) -> str:
    return path.read_text(encoding="latin-1")


def write(collection: Collection, folder: Path) -> None:
    """Write a collection in BEIR's layout; passages without any text stay out."""
    judged = {query for query, _ in collection.relevant}
    (folder / "qrels").mkdir(parents=True)
    rows = ({"_id": key, "title": title, "text": text} for key, title, text in collection.passages if title or text)
    _write_rows(folder / "corpus.jsonl", rows)
    _write_rows(folder / "queries.jsonl", ({"_id": k, "text": text} for k, text in collection.queries if k in judged))
    lines = [f"{query}\t{passage}\t1" for query, passage in dict.fromkeys(collection.relevant)]
    text = "\n".join(["query-id\tcorpus-id\tscore", *lines, ""])
    (folder / "qrels" / "test.tsv").write_text(text, encoding="utf-8")


def _write_rows(path: Path, rows: Iterable[dict[str, str]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", choices=READERS)
    parser.add_argument("folder", type=Path, help="the files as they were published")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the folder to make")
    arguments = parser.parse_args()
    write(READERS[arguments.collection](arguments.folder), arguments.output)


if __name__ == "__main__":
    main()
