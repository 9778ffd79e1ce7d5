"""Files that people bring as streams of UTF-8 bytes: decompressed within bounds, recoded where a mark says so."""

import codecs
import gzip
import io
from pathlib import Path
from typing import IO, cast

from components.errors import DataError

COMPRESSIONS = (".gz", ".zst")
_BLOCK = 1 << 20
#: A compressed file may expand to this many bytes, or to so many times its size, whichever is more. Text shrinks to a
#: tenth, and rows that repeat each other to a fiftieth; what shrinks more is made to fill a disk.
ALWAYS_ALLOWED = 256 << 20
MOST_TIMES = 200

_UTF8_MARK = codecs.BOM_UTF8
#: UTF-32 comes first: in little-endian its mark begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, decompressed when its name ends in ``.gz`` or ``.zst``.

    Reading raises a DataError once a compressed file has expanded beyond `MOST_TIMES` its size.
    """
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return _bounded(cast(IO[bytes], gzip.open(path, "rb")), path)
    if suffix == ".zst":
        import pyarrow as pa

        return _bounded(cast(IO[bytes], pa.input_stream(str(path), compression="zstd")), path)
    return path.open("rb")


def open_utf8(path: Path) -> IO[bytes]:
    """Open a text file as UTF-8 without a byte order mark; a mark of UTF-16 or UTF-32 has it recoded on the way."""
    stream = open_bytes(path)
    head = stream.read(4)
    rest = io.BufferedReader(_Joined(head, stream), _BLOCK)
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return io.BufferedReader(_Recoded(rest, encoding, path), _BLOCK)
    if head.startswith(_UTF8_MARK):
        rest.read(len(_UTF8_MARK))
    return rest


def _bounded(stream: IO[bytes], path: Path) -> IO[bytes]:
    return io.BufferedReader(_Bounded(stream, path), _BLOCK)


class _Reader(io.RawIOBase):
    """A stream of bytes made of another one."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source

    def readable(self) -> bool:
        """Return True; `io.BufferedReader` asks."""
        return True

    def close(self) -> None:
        """Close this stream and its source."""
        self._source.close()
        super().close()

    def _give(self, block: bytes, buffer: memoryview) -> int:
        buffer[: len(block)] = block
        return len(block)


class _Joined(_Reader):
    """The first bytes of a stream, which were read already, and the rest of it."""

    def __init__(self, head: bytes, source: IO[bytes]) -> None:
        super().__init__(source)
        self._head = head

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed knows no common buffer type
        """Fill a buffer; 0 at the end."""
        block, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        return self._give(block or self._source.read(len(buffer)), buffer)


class _Bounded(_Reader):
    """A decompressed stream that ends with an error when it has grown out of all proportion to its file."""

    def __init__(self, source: IO[bytes], path: Path) -> None:
        super().__init__(source)
        self._path = path
        self._left = max(ALWAYS_ALLOWED, MOST_TIMES * path.stat().st_size)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed knows no common buffer type
        """Fill a buffer; 0 at the end.

        Raises:
            DataError: when the file has expanded beyond its bound.
        """
        block = self._source.read(len(buffer))
        self._left -= len(block)
        if self._left < 0:
            size = self._path.stat().st_size
            raise DataError(
                f"{self._path} ({size:,} bytes) expands to more than {max(ALWAYS_ALLOWED, MOST_TIMES * size):,} bytes, "
                f"over {MOST_TIMES} times its size, as no real text does; if it is real, bring it uncompressed."
            )
        return self._give(block, buffer)


class _Recoded(_Reader):
    """Text of another encoding as UTF-8."""

    def __init__(self, source: IO[bytes], encoding: str, path: Path) -> None:
        super().__init__(source)
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._encoding, self._path = encoding, path
        self._waiting = b""

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed knows no common buffer type
        """Fill a buffer; 0 at the end.

        Raises:
            DataError: when the bytes are not of the encoding that their mark names.
        """
        is_end = False
        while not self._waiting and not is_end:
            block = self._source.read(_BLOCK)
            is_end = not block
            try:
                self._waiting = self._decoder.decode(block, final=is_end).encode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{self._path} begins with the byte order mark of {self._encoding.upper()} and is not "
                    f"{self._encoding.upper()} throughout ({error.reason}); save it again as UTF-8."
                ) from error
        given, self._waiting = self._waiting[: len(buffer)], self._waiting[len(buffer) :]
        return self._give(given, buffer)
