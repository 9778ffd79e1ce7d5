"""Text files that people bring: plain, gzip or zstd, in UTF-8, read line by line with the line's number at hand."""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from components.errors import DataError

COMPRESSIONS = (".gz", ".zst")
_BOM = b"\xef\xbb\xbf"
_BLOCK = 1 << 20
_DAMAGED = (EOFError, OSError, zlib.error)


def bare_suffix(path: Path) -> str:
    """The suffix of a file below its compression, in lower case: ``.jsonl`` for ``corpus.jsonl.gz``."""
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    return name.suffix.lower()


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, decompressed when its name ends in ``.gz`` or ``.zst``."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if suffix == ".zst":
        import pyarrow as pa

        return io.BufferedReader(pa.input_stream(str(path), compression="zstd"))
    return path.open("rb")


def check_whole(path: Path) -> None:
    """Decompress a compressed file once, so that its own checksum is verified; other files pass.

    Raises:
        DataError: when it is cut off or damaged.
    """
    if path.suffix.lower() not in COMPRESSIONS:
        return
    try:
        with open_bytes(path) as stream:
            while stream.read(_BLOCK):
                pass
    except _DAMAGED as error:
        raise _unreadable(path, "", error) from error


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file with their numbers (from 1), without line ends; blank lines are left out.

    A UTF-8 byte order mark is skipped.

    Raises:
        DataError: when the file cannot be read, is cut off, or is not UTF-8.
    """
    number = 0
    try:
        with open_bytes(path) as stream:
            for number, line in enumerate(stream, start=1):
                text = _decode(line.removeprefix(_BOM) if number == 1 else line, path, number)
                if text.strip():
                    yield number, text
    except _DAMAGED as error:
        raise _unreadable(path, f" beyond line {number}", error) from error


def numbered_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a JSONL file with their line numbers (from 1).

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


def _unreadable(path: Path, where: str, error: Exception) -> DataError:
    return DataError(
        f"{path} cannot be read{where} ({error}): the file is cut off, damaged, or not what its name says; "
        "copy or download it again."
    )


def _decode(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {number} is not UTF-8 (byte 0x{line[error.start]:02x} at {error.start}); "
            f"convert the file, for example with `iconv -f latin1 -t utf-8`."
        ) from error
