"""The log of a stage in a pod: the time before each line, and no progress bar."""

import io
from datetime import UTC, datetime
from typing import TextIO


class StampedLines(io.TextIOBase):
    """Writes whole lines to a stream, each with the time (UTC); of a line that is drawn over again, the last state.

    Args:
        stream: where the lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rest = ""

    def writable(self) -> bool:
        """Return True, as a text stream does."""
        return True

    def fileno(self) -> int:
        """Return the stream's: what writes to that goes by without a time."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Take what was printed; a line appears once it is whole."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._put(line)
        self._rest = self._rest[self._rest.rstrip("\r").rfind("\r") + 1 :]
        return len(text)

    def flush(self) -> None:
        """Flush what was written; a line that is not whole waits."""
        self._stream.flush()

    def close(self) -> None:
        """Write the rest; the stream itself stays open."""
        if not self.closed and self._rest:
            self._put(self._rest)
            self._rest = ""
        super().close()

    def _put(self, line: str) -> None:
        text = line.rstrip("\r").rpartition("\r")[2]
        self._stream.write(f"{datetime.now(UTC):%H:%M:%S} {text}\n" if text.strip() else "\n")
