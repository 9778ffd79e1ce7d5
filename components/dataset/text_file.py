"""Text files that people bring, read line by line with the line's number at hand: plain, gzip or zstd, UTF-8 or 16."""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.dataset.byte_streams import COMPRESSIONS, open_bytes, open_utf8
from components.errors import DataError

LONGEST_LINE = 8 << 20  #: bytes: a line is read into memory whole
DAMAGED = (EOFError, OSError, zlib.error)


def bare_suffix(path: Path) -> str:
    """Return the suffix of a file below its compression, in lower case: ``.jsonl`` for ``corpus.jsonl.gz``."""
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    return name.suffix.lower()


def raw_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file with their numbers (from 1), line ends and blank lines included.

    A byte order mark is no part of the first line; one of UTF-16 or UTF-32 says how the file is decoded.

    Raises:
        DataError: when the file cannot be read, is cut off, is not UTF-8, or has a line beyond `LONGEST_LINE`.
    """
    number = 0
    try:
        with open_utf8(path) as stream:
            while line := stream.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    raise DataError(f"{path}, line {number} is longer than {LONGEST_LINE:,} bytes; shorten the row.")
                yield number, _decode(line, path, number)
    except DAMAGED as error:
        raise unreadable(path, f" beyond line {number}", error) from error


def check_whole(path: Path) -> None:
    """Decompress a compressed file once, for a reader that compares no checksum and knows no bound; others pass.

    Raises:
        DataError: when it is cut off, damaged, or expands out of all proportion.
    """
    if path.suffix.lower() not in COMPRESSIONS:
        return
    try:
        with open_bytes(path) as stream:
            while stream.read(1 << 20):
                pass
    except DAMAGED as error:
        raise unreadable(path, "", error) from error


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file with their numbers (from 1), without line ends; blank lines are left out.

    Raises:
        DataError: whatever `raw_lines` raises.
    """
    for number, line in raw_lines(path):
        text = line.rstrip("\r\n")
        if text.strip():
            yield number, text


def numbered_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the JSON objects of a JSONL file with their line numbers (from 1).

    Raises:
        DataError: when a line is not one JSON object, and whatever `numbered_lines` raises.
    """
    for number, line in numbered_lines(path):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number} is not JSON ({error}); write one JSON object a line.") from error
        if not isinstance(value, dict):
            raise DataError(
                f"{path}, line {number} is {type(value).__name__} and not a JSON object; "
                'write one object a line, such as {"_id": "1", "text": "…"}.'
            )
        yield number, value


def unreadable(path: Path, where: str, error: Exception) -> DataError:
    """Return the error of a file that is damaged or cannot be opened."""
    return DataError(
        f"{path} cannot be read{where} ({error}): the file is cut off, damaged, or not what its name says; "
        "copy or download it again."
    )


def _decode(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {number} is not UTF-8 (byte 0x{line[error.start]:02x} at {error.start}); "
            f"convert the file, for example with `iconv -f latin1 -t utf-8`."
        ) from error
