"""How deep and how large a JSON text is, told piece by piece before anything parses it.

A parser makes an object of every value and recurses with every level, and takes ever longer for the digits of a number:
4 MB can be two million values. A scan costs a few passes over the bytes and keeps nothing.
"""

_STEP = 1 << 14  # bytes between two looks at the limits
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# A parser's time for a whole number grows with the square of its digits: 4 MB of numbers with 4,300, the most that
# Python reads, take it 60 ms. No number that a program writes has as many as this, beyond which Python begins to count.
MAX_DIGITS = 640
_DIGITS_ALIKE = bytes.maketrans(b"0123456789", b"0" * 10)
_TOO_MANY_DIGITS = b"0" * (MAX_DIGITS + 1)


class JsonScan:
    """Counts the levels, values and digits of a JSON text that comes in pieces; what is in strings does not count.

    Outside strings a backslash is not JSON: what the scan makes of a text after one does not matter, as every parser
    stops there.
    """

    def __init__(self, max_nesting: int, max_values: int) -> None:
        self._max_nesting = max_nesting
        self._max_values = max_values
        self._depth = 0
        self.values = 1  #: how many there are so far, or a few more: an empty list counts twice
        self.too_many_digits = False  #: of one number
        self._in_string = False
        self._end = b""  # of what is outside strings so far: a number may go on in the next piece
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
        """Read on; False when the text is beyond a limit, and the rest need not be read."""
        return all(self._read(piece[start : start + _STEP]) for start in range(0, len(piece), _STEP))

    def _read(self, piece: bytes) -> bool:
        outside = self._outside_strings(piece)
        for bracket in outside.translate(None, _NOT_BRACKETS):
            self._depth += 1 if bracket in b"[{" else -1
            if self.too_deep:
                return False
        self.values += outside.count(b",") + outside.count(b"[") + outside.count(b"{")
        self._count_digits(outside)
        return not self.too_many_values and not self.too_many_digits

    def _count_digits(self, outside: bytes) -> None:
        digits = self._end + outside.translate(_DIGITS_ALIKE)
        self.too_many_digits = _TOO_MANY_DIGITS in digits
        self._end = digits[-MAX_DIGITS:]

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
        if b'"' not in text:  # nothing is hidden here
            backslashes = len(text) - len(text.rstrip(b"\\"))
            self._pending = b"\\" * (backslashes % 2)
            return text
        text = text.replace(b"\\\\", b"")
        self._pending = b"\\" if text.endswith(b"\\") else b""
        return text.replace(b'\\"', b"")
