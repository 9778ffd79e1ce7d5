"""How deep and how large a JSON text is, told piece by piece before anything parses it.

A parser makes an object of every value and recurses with every level: 4 MB can be two million values. A scan costs a
few passes over the bytes and keeps nothing.
"""

_STEP = 1 << 14  # bytes between two looks at the limits
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class JsonScan:
    """Counts the levels and values of a JSON text that comes in pieces; brackets and commas in strings do not count.

    Outside strings a backslash is not JSON: what the scan makes of a text after one does not matter, as every parser
    stops there.
    """

    def __init__(self, max_nesting: int, max_values: int) -> None:
        self._max_nesting = max_nesting
        self._max_values = max_values
        self._depth = 0
        self.values = 1  #: how many there are so far, or a few more: an empty list counts twice
        self._in_string = False
        self._pending = b""  # a backslash at the end of a piece, whose escape is in the next

    @property
    def too_many_values(self) -> bool:
        """Whether the pieces so far hold more values than may be."""
        return self.values > self._max_values

    @property
    def too_deep(self) -> bool:
        """Whether the pieces so far nest deeper than may be."""
        return self._depth > self._max_nesting

    def feed(self, piece: bytes) -> bool:
        """Read on; False when the text is too deep or too large, and the rest need not be read."""
        return all(self._read(piece[start : start + _STEP]) for start in range(0, len(piece), _STEP))

    def _read(self, piece: bytes) -> bool:
        outside = self._outside_strings(piece)
        for bracket in outside.translate(None, _NOT_BRACKETS):
            self._depth += 1 if bracket in b"[{" else -1
            if self.too_deep:
                return False
        self.values += outside.count(b",") + outside.count(b"[") + outside.count(b"{")
        return not self.too_many_values

    def _outside_strings(self, piece: bytes) -> bytes:
        parts = self._without_escapes(self._pending + piece).split(b'"')
        first = 1 if self._in_string else 0
        self._in_string ^= len(parts) % 2 == 0
        return b"".join(parts[first::2])

    def _without_escapes(self, text: bytes) -> bytes:
        """Take out what may hide a quote, and keep a backslash at the end for the next piece."""
        self._pending = b""
        if b"\\" not in text:  # most texts, and ten times as fast as looking for two kinds of pairs
            return text
        text = text.replace(b"\\\\", b"")
        self._pending = b"\\" if text.endswith(b"\\") else b""
        return text.replace(b'\\"', b"")
