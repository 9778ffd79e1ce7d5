"""Passages as people have them: files in Parquet, JSON Lines, CSV or TSV, a BEIR folder, or a dataset's own corpus.

A row has a text and an id, under one of the usual names; a title goes before the text, as in BEIR. A text without an id
gets an id made from it.
"""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from components.dataset.beir import BeirFolder, read_corpus
from components.dataset.manifest import CORPUS
from components.dataset.text_file import bare_suffix
from components.errors import DataError
from components.index.options import DATASET
from components.raw_files.records import SUFFIXES, records_of

ID_NAMES = ("passage_id", "_id", "id", "doc_id", "docid", "document_id", "pid", "corpus_id")
TEXT_NAMES = ("text", "passage", "contents", "content", "document", "body")
LONGEST = 100_000  #: characters; a longer text is a document, of which the model would read next to nothing
_MADE = 32  # hexadecimal digits of an id that is made of a text


class Passage(NamedTuple):
    """One row of a corpus."""

    place: str  #: where it stands, for an error
    passage_id: str
    text: str  #: empty where it has no letter


def corpus_files(path: Path, uri: str) -> list[Path]:
    """Return the files of a corpus at a local path: one file, or all of a folder; of a BEIR folder its corpus alone.

    Raises:
        DataError: when there is nothing that could be read.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"There is no corpus at {uri}; give a file or folder, s3://…, hf://datasets/… or {DATASET!r}.")
    if (path / CORPUS).is_file():
        return [path / CORPUS]
    if (beir := BeirFolder.find(path)) is not None:
        return [beir.corpus]
    files = sorted(file for file in path.rglob("*") if file.is_file() and _is_data(file.relative_to(path)))
    if not files:
        raise DataError(f"{uri} holds no {', '.join(SUFFIXES[:4])} file (each also .gz or .zst) to read passages from.")
    return files


def passages_of(path: Path) -> Iterator[Passage]:
    """Yield the passages of one file, in its order; empty texts included.

    Raises:
        DataError: when the file cannot be read, or a row has no text column, a value of the wrong kind, or too long a
            text; names file and row.
    """
    if path.name.startswith("collection.tsv"):
        for row in read_corpus(path):
            yield _checked(f"{path}, row {row.row}", row.passage_id, row.text)
        return
    yield from _passages(_file_rows(path))


def rows_of(rows: Iterable[Mapping[str, Any]], place: str) -> Iterator[Passage]:
    """Yield the passages in rows that come from elsewhere than a file; `place` names them in an error."""
    yield from _passages((f"{place}, row {number}", row) for number, row in enumerate(rows, 1))


def _file_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for record in records_of(path):
        place = f"{path}, row {record.line}"
        if record.fault:
            raise DataError(f"{place}: {record.fault}.")
        yield place, record.fields


def _passages(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[Passage]:
    names: tuple[str, ...] = ()
    columns = _Columns("", "", "")
    for place, fields in rows:
        if (found := tuple(fields)) != names:
            names, columns = found, _columns(found, place)
        yield _passage(place, fields, columns)


class _Columns(NamedTuple):
    passage_id: str  #: empty where there is none
    text: str
    title: str


def _columns(names: tuple[str, ...], place: str) -> _Columns:
    by_name = {name.strip().lower(): name for name in names}
    text = _first(by_name, TEXT_NAMES)
    if not text:
        raise DataError(f"{place} has no column {' or '.join(map(repr, TEXT_NAMES))}; it has {', '.join(names[:20])}.")
    return _Columns(_first(by_name, ID_NAMES), text, by_name.get("title", ""))


def _first(by_name: dict[str, str], wanted: tuple[str, ...]) -> str:
    return next((by_name[name] for name in wanted if name in by_name), "")


def _passage(place: str, fields: Mapping[str, Any], columns: _Columns) -> Passage:
    text = _text(place, fields, columns.text)
    if columns.title and (title := _text(place, fields, columns.title).strip()):
        text = f"{title} {text}"
    given = fields.get(columns.passage_id) if columns.passage_id else None
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given)
    if given is not None and not isinstance(given, str):
        raise DataError(f"{place}, column {columns.passage_id!r} is {given!r}; an id is a text or a whole number.")
    if columns.passage_id and not (given and given.strip()):
        raise DataError(f"{place}, column {columns.passage_id!r} is empty; every passage needs its id.")
    return _checked(place, given or sha256(text.encode("utf-8", "replace")).hexdigest()[:_MADE], text)


def _checked(place: str, passage_id: str, text: str) -> Passage:
    if len(text) > LONGEST:
        raise DataError(
            f"{place} has {len(text):,} characters, of which a model reads the first few thousand at most; split texts "
            f"beyond {LONGEST:,} characters into passages."
        )
    return Passage(place, _whole(passage_id), _whole(text) if text and not text.isspace() else "")


def _text(place: str, fields: Mapping[str, Any], column: str) -> str:
    value = fields.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"{place}, column {column!r} is {value!r:.60}; a passage is a text.")
    return value


def _whole(text: str) -> str:
    # Half of a surrogate pair is legal in JSON and not in UTF-8; the encoder replaces it in the same way.
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _is_data(path: Path) -> bool:
    is_hidden = any(part.startswith(".") for part in path.parts)
    return not is_hidden and bare_suffix(path) in SUFFIXES and bare_suffix(path) != ".json"
